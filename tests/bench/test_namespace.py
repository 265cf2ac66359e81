"""The namespace of a comparison."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench import namespace
from bench.errors import BenchError
from tests.needs import need_network_namespaces


def test_outside_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SIGHTLINE_BENCH_NAMESPACE", raising=False)
    assert not namespace.inside()


@pytest.mark.parametrize("lacking", ["unshare", "ip"])
def test_a_missing_program_is_named(lacking: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(namespace.shutil, "which", lambda name: None if name == lacking else f"/bin/{name}")
    with pytest.raises(BenchError, match=f"{lacking} is needed.*apt-get install"):
        namespace.enter(())


def test_who_may_not_make_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(namespace, "_program", lambda name, package: "/bin/false")
    with pytest.raises(BenchError, match="Run it as root"):
        namespace.enter(())


def test_the_address_is_reached_over_the_loopback_interface_and_nothing_else_is_there():
    need_network_namespaces()
    inside = "from bench.namespace import *; set_up()"
    routes = f"ip route get {namespace.ADDRESS}; ip -o link"
    command = ["unshare", "--net", "sh", "-c", f"{sys.executable} -c '{inside}' && {routes}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    route, *links = done.stdout.strip().split("\n")
    if not links[0][0].isdigit():
        links = links[1:]  # the second line of the route
    assert route.startswith(f"local {namespace.ADDRESS} dev lo")
    assert {"lo", "bench0", "bench1"} <= {link.split()[1].split("@")[0].rstrip(":") for link in links}


def test_the_command_line_is_started_again_inside():
    need_network_namespaces()
    enter = "from bench.namespace import enter; enter(['--version'])"
    done = subprocess.run([sys.executable, "-c", enter], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "sightline" in done.stdout
    assert os.environ.get("SIGHTLINE_BENCH_NAMESPACE") is None
