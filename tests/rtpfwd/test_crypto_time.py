"""No branch and no address of the C core depends on a secret, as far as valgrind can run it: `aesni`'s GCM, and SRTCP.

Key and payload are declared undefined to valgrind's memory checker, which then reports every jump and every address
that depends on them. It knows neither the wide instructions nor SHA's, so the other tiers rest on the same source text
(tier.h) and on the instructions' own promise. ops/sanitize.sh leaves this out, as one checker does not run in another.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.needs import need_file, need_program

CORE = Path(__file__).parents[2] / "rtpfwd" / "crypto"

PROGRAM = """
#include "native.h"
#include <string.h>
#include <valgrind/memcheck.h>
#define TOLD(what) VALGRIND_PRINTF("%s %d\\n", what, (int)VALGRIND_COUNT_ERRORS)

int main(void) {
    static uint8_t master[28], clear[1500], packet[1600], out[1600];
    memset(packet, 0x80, 12);
    VALGRIND_MAKE_MEM_UNDEFINED(master, sizeof master);
    VALGRIND_MAKE_MEM_UNDEFINED(clear, sizeof clear);
    native_key *key = native_key_create(NATIVE_GCM, NATIVE_AESNI, master);
    if (key == NULL)
        return 2;
    for (size_t size = 0; size <= sizeof clear; size++) {
        native_job job = {key, clear, packet, 12, size, 5, 70000};
        native_protect(&job, 1);
    }
    TOLD("protect");
    native_unprotect(key, packet, 12, 12 + sizeof clear + 16, 5, 70000, out);
    TOLD("unprotect");
    for (size_t size = 8; size <= 300; size++) {
        memset(packet, 0x80, 8);
        memcpy(packet + 8, clear, size - 8);
        native_protect_control(key, packet, size, 70000);
    }
    TOLD("protect RTCP");
    native_unprotect_control(key, packet, 300 + 20);
    TOLD("unprotect RTCP");
    native_key_free(key);
    if (clear[3] == 1)
        TOLD("never");
    TOLD("branch");
    return 0;
}
"""


@pytest.mark.slow
def test_neither_jumps_nor_addresses_depend_on_keys_or_payload(tmp_path: Path):
    valgrind, compiler = need_program("valgrind"), need_program("gcc")
    need_file("/usr/include/valgrind/memcheck.h", "valgrind")
    source, program = tmp_path / "secrets.c", tmp_path / "secrets"
    source.write_text(PROGRAM)
    sources = [str(path) for path in sorted(CORE.glob("*.c"))]
    subprocess.run(
        [compiler, "-O3", "-fno-strict-aliasing", f"-I{CORE}", str(source), *sources, "-o", program], check=True
    )
    alone = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # of a sanitizer
    ended = subprocess.run(
        [valgrind, str(program)], capture_output=True, text=True, timeout=120, check=False, env=alone
    )
    if ended.returncode == 2:
        pytest.skip("this CPU, as valgrind shows it, has no AES instructions")
    words = [line.split("** ")[-1].rsplit(" ", 1) for line in ended.stderr.splitlines() if line.startswith("**")]
    errors = {what: int(count) for what, count in words}
    assert errors["protect"] == 0, ended.stderr
    assert errors["unprotect"] == 1, ended.stderr  # its outcome, which everybody sees
    assert errors["protect RTCP"] == 1, ended.stderr
    assert errors["unprotect RTCP"] == 2, ended.stderr
    assert errors["branch"] == 3, "a branch on the payload went unseen: this test could not fail"
