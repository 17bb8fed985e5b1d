"""Arguments that both recipes have, named as those of `motet batch`."""

import argparse
import os
from pathlib import Path

from motet_calls import Settings
from motet_gateway import Gateway


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser with the arguments."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("pipeline")
    add("--in", dest="input", required=True, metavar="PATH", help="Parquet: a file or a folder")
    add("--out", required=True, metavar="PATH", help="folder of the answers, in Parquet")
    add("--to", default="127.0.0.1:50051", metavar="HOST:PORT", help="grpcs://HOST:PORT with TLS")
    add("--map", type=pairs, default={}, metavar="INPUT=COLUMN,...")
    add("--keep", type=names, metavar="COLUMN,...", help="columns to write too [default: all]")
    add("--batch", type=int, default=512, metavar="ROWS", help="rows of a call of a worker")
    add("--in-flight", type=int, default=Settings.in_flight, help="requests of a worker at once")
    add("--deadline", type=float, default=Settings.deadline, help="seconds, of a batch")
    add("--retry-for", type=float, default=Settings.retry_for, help="seconds without a server")
    add("--api-key-file", metavar="FILE", help="else MOTET_API_KEY has the key, if there is one")
    add("--ca", metavar="FILE", help="authorities of the server's certificate")
    add("--cert", metavar="FILE", help="a certificate to show to the server")
    add("--key", metavar="FILE", help="the certificate's key")
    add("--server-name", metavar="NAME", help="the name that the certificate must have")
    return parser


def gateway(args: argparse.Namespace) -> Gateway:
    """Returns the gateway of the arguments. Files are read."""
    scheme, _, address = args.to.rpartition("://")
    key = read(args.api_key_file)
    return Gateway(
        address,
        key.decode().strip() if key else os.environ.get("MOTET_API_KEY"),
        tls=scheme == "grpcs" or bool(args.ca or args.cert),
        ca=read(args.ca),
        cert=read(args.cert),
        key=read(args.key),
        server_name=args.server_name,
    )


def settings(args: argparse.Namespace) -> Settings:
    """Returns the pace and patience of the arguments."""
    return Settings(args.in_flight, args.deadline, args.retry_for)


def read(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def pairs(text: str) -> dict[str, str]:
    """Returns INPUT=COLUMN,... as a dictionary."""
    parts = [name.partition("=") for name in names(text)]
    if not all(separator and column for _, separator, column in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not INPUT=COLUMN,...")
    return {name: column for name, _, column in parts}
