"""A machine of its own whose first process is systemd, in name spaces over this one.

It has a file system that is laid over this one's and thrown away, processes, mounts and control
groups of its own, and shares the loopback interface. The project is there as README's first step
installs it, but that the packages are this environment's.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from peers import peer

__all__ = ["Machine", "machine"]

_PROJECT = Path(__file__).parents[2]
_PACKAGES = ("listener", "pipeline", "training", "deploy")
_SYSTEMD = "/usr/lib/systemd/systemd"
_APART = ["--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "--kill-child"]
_INSIDE = ["--mount", "--pid", "--cgroup", "--uts", "--ipc"]

_LAID_OVER = r"""
set -e
scene=$1 project=$2 python=$3 packages=$4 vllm=$5
mount --make-rprivate /
mount -t tmpfs tmpfs "$scene"
mkdir "$scene/upper" "$scene/work" "$scene/root"
root=$scene/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$scene/upper,workdir=$scene/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"  # a start clears it
umount -R "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
"""

_BOOT = r"""
# this machine's devices, kernel settings and network are not that one's to change
mount -o remount,bind,ro "$root/sys"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
for unit in networkd.service networkd.socket networkd-wait-online.service resolved.service \
    timesyncd.service udevd.service udev-trigger.service; do
    ln -sf /dev/null "$root/etc/systemd/system/systemd-$unit"
done
# and whatever else is installed here is not started
rm -f "$root"/etc/systemd/system/*.wants/* "$root/etc/machine-id"
rm -rf "$root"/opt/wristmir* "$root"/var/lib/wristmir* "$root/etc/wristmir"

# a virtual environment, given its place, the packages in it, its command and what that does
environment() {
    "$python" -m venv --without-pip "$root$1"
    mkdir "$root$1/packages"
    mount --bind "$2" "$root$1/packages"
    printf '%s\n' "$1/packages" "$1/project" \
        > "$(echo "$root$1"/lib/python3.*/site-packages)/all.pth"
    printf '#!%s/bin/python\n%s\n' "$1" "$4" > "$root$1/bin/$3"
    chmod 755 "$root$1/bin/$3"
}
environment /opt/wristmir "$packages" wristmir "from deploy.cli import main
if __name__ == '__main__':
    main()"
mkdir "$root/opt/wristmir/project"
for package in PACKAGES; do cp -r "$project/$package" "$root/opt/wristmir/project"; done
chmod -R a+rX "$root/opt/wristmir/project"
# the command of vLLM's build for processors looks for the other build's version, its server does
# not; it starts processes that read this file too
server="import runpy, sys
if __name__ == '__main__':
    del sys.argv[1]
    runpy.run_module('vllm.entrypoints.openai.api_server', run_name='__main__')"
if [ -n "$vllm" ]; then environment /opt/wristmir-vllm "$vllm" vllm "$server"; fi

cd "$root"
mkdir -p before
pivot_root . before
umount -l before
mount --make-rshared /  # as a machine's are: what systemd hands over is mounted for one service
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    SYSTEMD --system --unit=basic.target --log-target=console
""".replace("PACKAGES", " ".join(_PACKAGES)).replace("SYSTEMD", _SYSTEMD)


@dataclass(frozen=True)
class Machine:
    """Runs commands in a machine; `first` is its first process, seen from here."""

    first: int

    def run(self, *command: str, given: str = "", check: bool = True) -> str:
        """Run a command there as root and return what it prints, on either channel."""
        done = subprocess.run(
            ["nsenter", f"--target={self.first}", *_INSIDE, "--", *command],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.stdout}")
        return done.stdout

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file there, as root."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, given=text)

    def copy(self, folder: Path, path: str) -> None:
        """Copy a folder of this machine to a path there."""
        packed = subprocess.run(["tar", "-C", folder, "-c", "."], capture_output=True, check=True)
        self.run("mkdir", "-p", path)
        entered = ["nsenter", f"--target={self.first}", *_INSIDE]
        unpacked = [*entered, "tar", "-C", path, "--no-same-owner", "-x"]
        subprocess.run(unpacked, input=packed.stdout, check=True)

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def said(self, unit: str) -> str:
        """Return what a unit has logged."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")


@contextmanager
def machine(folder: Path, vllm: Path | None = None) -> Iterator[Machine]:
    """Start a machine and stop it with everything that runs in it; skip where that is not allowed.

    Parameters
    ----------
    folder
        Where its file system lies; it has to be empty.
    vllm
        Packages of an environment that has vLLM, to be there too.
    """
    unshare, python = peer("unshare"), _python()
    if not Path(_SYSTEMD).is_file():
        peer("systemd")
    given = [str(folder), str(_PROJECT), python]
    given += [sysconfig.get_paths()["purelib"], "" if vllm is None else str(vllm)]
    apart = [unshare, *_APART, "bash", "-c"]
    trial = subprocess.run(
        [*apart, _LAID_OVER, "trial", *given], capture_output=True, text=True, check=False
    )
    if trial.returncode:
        pytest.skip(
            f"no machine can be laid over this one, which wants root: {trial.stderr[-200:]}"
        )
    with (folder.parent / "console").open("wb") as console:
        process = subprocess.Popen(
            [*apart, _LAID_OVER + _BOOT, "boot", *given],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _started(process, folder.parent / "console")
        finally:
            process.kill()
            process.wait()


def _python() -> str:
    """Return the system's own interpreter: one in somebody's home is hidden from services."""
    name = f"python{sysconfig.get_python_version()}"
    return shutil.which(name, path="/usr/bin:/usr/local/bin") or peer(name)


def _started(process: subprocess.Popen[bytes], console: Path) -> Machine:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
        for first in map(int, children.read_text(encoding="ascii").split()):
            it = Machine(first)
            if Path(f"/proc/{first}/comm").read_text(encoding="ascii") == "systemd\n" and it.run(
                "systemctl", "is-system-running", check=False
            ) in ("running\n", "degraded\n"):
                return it
    pytest.fail(f"systemd did not start: {console.read_text(encoding='utf-8', errors='replace')}")
