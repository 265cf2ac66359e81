"""The media node, and the command line that composes it with a front."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sightline")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
