# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Packages of a Debian suite that this machine is not set up for, from the mirror that it already uses and without
# touching its own apt configuration. Sourced, never run.

# The codename of the Debian release that this machine runs.
debian_codename() {
    # shellcheck source=/dev/null
    (. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
}

# The mirror that the machine takes its own release from.
debian_mirror() {
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk -v c="$(debian_codename)" '$2 == c { print $1; exit }')
    [ -n "$uri" ] || uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$' || true)
    [ -n "$uri" ] || need "apt knows no mirror of Debian $(debian_codename): /etc/apt/sources.list must name one"
    printf '%s' "$uri"
}

debian_keyring() {
    local ring
    for ring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        [ -f "$ring" ] && printf '%s' "$ring" && return
    done
    need "the keys of Debian's archive are missing: install the package debian-archive-keyring"
}

# debian_conf SUITE: makes an apt configuration that knows this suite only; sets APT_CONFIG's value in DEBIAN_CONF.
debian_conf() {
    local suite=$1 dir=$HF_CACHE/apt/$1
    DEBIAN_CONF=$dir/apt.conf
    mkdir -p "$dir"/{lists/partial,archives/partial,sources.d}
    : >"$dir/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$(debian_keyring)" "$(debian_mirror)" "$suite" >"$dir/sources.list"
    cat >"$DEBIAN_CONF" <<EOF
Dir::State::Lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::State::extended_states "$dir/extended_states";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "$dir/sources.d";
APT::Sandbox::User "root";
APT::Architecture "amd64";
EOF
    [ -n "${DEBIAN_FRESH[$suite]:-}" ] && return
    APT_CONFIG=$DEBIAN_CONF quietly "$HF_CACHE/log/apt-$suite.log" apt-get -q update
    DEBIAN_FRESH[$suite]=1
}
declare -A DEBIAN_FRESH=()

# debian_newest SUITE PACKAGE [VERSION-PREFIX]: the newest version there, or nothing.
debian_newest() {
    APT_CONFIG=$HF_CACHE/apt/$1/apt.conf apt-cache madison "$2" |
        awk -F'|' -v p="${3:-}" '{ gsub(/ /, "", $2); if (index($2, p) == 1) print $2 }' | head -n 1
}

# debian_fetch SUITE PACKAGE VERSION DIR: download and unpack the package into DIR.
debian_fetch() {
    local conf=$HF_CACHE/apt/$1/apt.conf deb
    deb=$(new_dir deb)
    (cd "$deb" && APT_CONFIG=$conf quietly "$HF_CACHE/log/download-$2.log" apt-get -q download "$2=$3") || exit
    mkdir -p "$4"
    dpkg-deb -x "$deb"/*.deb "$4"
    rm -rf "$deb"
}

# debian_fetch_all NAME SUITES DIR PACKAGE[=VERSION]...: download the packages and everything that they depend on, as for a
# machine that has nothing yet, into DIR. Of what several suites have, the last suite's is taken. NAME: of the apt configuration.
debian_fetch_all() {
    local dir=$HF_CACHE/apt/$1 suite suites
    local conf=$dir/apt.conf
    read -ra suites <<<"$2"
    mkdir -p "$dir"/{lists/partial,archives/partial,sources.d} "$3"
    : >"$dir/status"
    : >"$dir/sources.list"
    for suite in "${suites[@]}"; do
        debian_conf "$suite"
        cat "$HF_CACHE/apt/$suite/sources.list" >>"$dir/sources.list"
    done
    sed "s|$HF_CACHE/apt/$suite|$dir|" "$DEBIAN_CONF" >"$conf"
    rm -f "$dir"/archives/*.deb
    APT_CONFIG=$conf quietly "$HF_CACHE/log/apt-$1.log" apt-get -q update
    APT_CONFIG=$conf quietly "$HF_CACHE/log/$1.log" apt-get -q -y --no-install-recommends --download-only \
        -t "$suite" install "${@:4}"
    mv "$dir"/archives/*.deb "$3/"
}

# The sources of Debian itself that the machine uses, as lines of a sources.list.
debian_own_sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v c="$(debian_codename)" -v ring="$(debian_keyring)" \
            '$3 == "main" && index($2, c) == 1 { print "deb [signed-by=" ring "] " $1 " " $2 " main" }'
}
