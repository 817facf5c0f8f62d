"""Runs a command in a network of its own: `namespace.py [--address A] COMMAND [ARGUMENT…]`.

The command has a loopback interface and nothing else, so no server of a test is reachable from outside and nothing
in a test reaches out. `--address` adds an address to that interface: what listens on it looks like a public host to
whatever refuses private ones. Knows nothing of what is run.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

# From linux/sockios.h and linux/if.h.
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
SIOCSIFADDR = 0x8916
SIOCSIFNETMASK = 0x891C
IFF_UP = 0x1


def unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def enter_network() -> None:
    """A network namespace: at once as root, otherwise within a user namespace in which we are root."""
    try:
        unshare(CLONE_NEWNET)
        return
    except PermissionError:
        pass
    user, group = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def interface_request(name: str, content: bytes) -> bytes:
    return struct.pack("16s24s", name.encode(), content)


def socket_address(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def raise_loopback(address: str | None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, interface_request("lo", b""))
        (flags,) = struct.unpack_from("=H", answer, 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, interface_request("lo", struct.pack("=H", flags | IFF_UP)))
        if address is not None:
            fcntl.ioctl(control, SIOCSIFADDR, interface_request("lo:1", socket_address(address)))
            fcntl.ioctl(control, SIOCSIFNETMASK, interface_request("lo:1", socket_address("255.255.255.255")))


def main() -> None:
    words = sys.argv[1:]
    address = None
    if words[:1] == ["--address"]:
        address, words = words[1], words[2:]
    if not words:
        sys.exit(__doc__)
    try:
        enter_network()
        raise_loopback(address)
    except OSError as error:
        sys.exit(
            f"error: cannot make a network namespace: {error}\n"
            "help: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        )
    os.execvp(words[0], words)


main()
