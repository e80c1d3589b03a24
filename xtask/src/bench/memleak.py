"""Runs a tool of bcc with a mended binding.

Debian 12 has bcc 0.26: `bpf_attach_uprobe` of its library takes the offset of a reference counter as a seventh argument,
which its Python module does not pass. What happens to lie there is then taken for one, and the kernel refuses it.
"""
import ctypes
import runpy
import sys

from bcc import lib

attach = lib.bpf_attach_uprobe
if len(attach.argtypes) == 6:
    attach.argtypes = [*attach.argtypes, ctypes.c_uint32]
    lib.bpf_attach_uprobe = lambda *arguments: attach(*arguments, 0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
