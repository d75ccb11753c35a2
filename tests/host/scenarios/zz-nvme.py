# SPDX-License-Identifier: Apache-2.0
"""debug"""
import importlib.util, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("pn", Path(__file__).with_name("passthrough-nvme.py"))
pn = importlib.util.module_from_spec(spec); spec.loader.exec_module(pn)
SCENARIO = dict(pn.SCENARIO)

def run(host):
    try:
        pn.run(host)
    except BaseException as why:
        try:
            print("DBG", host.run("for p in $(pidof vmm); do for t in /proc/$p/task/*; do cat $t/comm $t/wchan; echo; cat $t/stack; cat $t/stat | cut -d' ' -f3,14,15; done; done; dmesg | tail -5; sleep 2; for p in $(pidof vmm); do for t in /proc/$p/task/*; do cat $t/comm; cat $t/stat | cut -d' ' -f3,14,15; done; done", 100)[1])
        finally:
            raise why
