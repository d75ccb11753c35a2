# SPDX-License-Identifier: Apache-2.0
"""Authorities and certificates of a test's own, made with openssl: NAME.pem and NAME.key in one folder."""
import subprocess

ADDRESS = "127.0.0.1"


class Pki:
    def __init__(self, folder):
        self.folder = folder

    def file(self, name):
        return self.folder / name

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                     f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def issue(self, name, subject, usage, authority="ca", days="2"):
        """usage: serverAuth, for who is reached as ADDRESS, or clientAuth."""
        self.file("ext").write_text(f"extendedKeyUsage={usage}\nsubjectAltName=IP:{ADDRESS}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout",
                     f"{name}.key", "-out", "request")
        self.openssl("x509", "-req", "-in", "request", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-days", days,
                     "-extfile", "ext", "-out", f"{name}.pem")
