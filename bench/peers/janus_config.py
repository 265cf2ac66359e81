"""The configuration directory that Janus is started with. bench/PEERS.md says why each option is as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from bench.peers.missing import PeerMissing

Tuning = Literal["best", "default"]

HOW_TO_GET: Final = "Janus comes with Debian and Ubuntu: sudo apt-get install --no-install-recommends janus"

# What differs from Janus's defaults whatever the tuning: none of it makes forwarding slower.
COMMON: Final = (
    "ice_lite=true, full_trickle=false, ice_tcp=false, ipv6=false, ignore_mdns=true, no STUN or TURN server, "
    "debug_level=2, no event handlers, no admin API, no recordings, slowlink and media events off, "
    "session_timeout=0, room: bitrate=0, fir_freq=0, audio levels, orientation, playout delay and transport-cc off"
)

# "best": one event loop for all handles instead of one thread for each. See PEERS.md for what else was considered.
TUNINGS: Final[dict[Tuning, str]] = {
    "best": f"event_loops=1, {COMMON}",
    "default": f"one thread per handle, {COMMON}",
}

_JANUS = """\
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{folder}/plugins"
    transports_folder = "{folder}/transports"
    events_folder = "{folder}/events"
    loggers_folder = "{folder}/loggers"
    debug_level = 2
    debug_colors = false
    session_timeout = 0
{loops}}}
certificates: {{}}
media: {{
    ipv6 = false
    no_media_timer = 0
    slowlink_threshold = 0
}}
nat: {{
    nice_debug = false
    full_trickle = false
    ice_lite = true
    ice_tcp = false
    ignore_mdns = true
    ice_enforce_list = "{address}"
}}
plugins: {{}}
transports: {{}}
loggers: {{}}
events: {{
    broadcast = false
}}
"""

_VIDEOROOM = """\
general: {
    events = false
}
"""

_WEBSOCKETS = """\
general: {{
    events = false
    json = "compact"
    ws = true
    ws_ip = "127.0.0.1"
    ws_port = {port}
    wss = false
}}
admin: {{
    admin_ws = false
    admin_wss = false
}}
cors: {{}}
certificates: {{}}
"""


def write_configuration(folder: Path, modules: Path, *, address: str, port: int, tuning: Tuning) -> None:
    """Fill an empty directory: three files, and links to the only plugin and the only transport to load.

    `modules` has Janus's own plugins and transports; `address` is where its ICE listens, `port` its WebSocket on
    127.0.0.1.
    """
    for name, library in (("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_websockets.so")):
        (folder / name).mkdir()
        (folder / name / library).symlink_to(modules / name / library)
    (folder / "events").mkdir()
    (folder / "loggers").mkdir()
    loops = "    event_loops = 1\n" if tuning == "best" else ""
    (folder / "janus.jcfg").write_text(_JANUS.format(folder=folder, address=address, loops=loops))
    (folder / "janus.plugin.videoroom.jcfg").write_text(_VIDEOROOM)
    (folder / "janus.transport.websockets.jcfg").write_text(_WEBSOCKETS.format(port=port))


def find_modules(program: str) -> Path:
    """The directory of the plugins and transports of an installed Janus (Debian: /usr/lib/<triplet>/janus)."""
    library = Path(program).resolve().parent.parent / "lib"
    for folder in (library / "janus", *sorted(library.glob("*/janus"))):
        if (folder / "plugins/libjanus_videoroom.so").exists():
            if (folder / "transports/libjanus_websockets.so").exists():
                return folder
            raise PeerMissing(f"this Janus was built without its WebSocket transport. {HOW_TO_GET}")
    raise PeerMissing(f"{program} is there, but its VideoRoom plugin is nowhere under {library}. {HOW_TO_GET}")
