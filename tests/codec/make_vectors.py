"""Payloads as Temporal's Python SDK and the codecs of Temporal's samples encode them, one in JSON a line: for tests/local/codec.rs.

    python tests/codec/make_vectors.py > tests/codec/vectors.jsonl

It needs the packages of tools/codecs/requirements.txt. Each run has new nonces.
"""

import asyncio
import json
import pathlib
import sys
import zlib

from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cluster" / "codecs"))
from encryption import Encryption  # noqa: E402

KEY = b"test-key-test-key-test-key-test!"


def compressed(payload: Payload) -> Payload:
    data = zlib.compress(payload.SerializeToString())
    return Payload(metadata={"encoding": b"binary/zlib"}, data=data)


async def main() -> None:
    values = [{"card": "4111 1111", "ü": [1, 2.5, None]}, b"\x00\xff\x10", None, "", "a" * 1000]
    encryption = Encryption([("test-key-id", KEY)])
    for plain in PayloadConverter.default.to_payloads(values):
        for name, encoded in [
            ("compression", compressed(plain)),
            ("encryption", (await encryption.encode([plain]))[0]),
            ("compression,encryption", (await encryption.encode([compressed(plain)]))[0]),
        ]:
            payloads = [MessageToDict(payload) for payload in (plain, encoded)]
            print(json.dumps({"codecs": name, "plain": payloads[0], "encoded": payloads[1]}))


asyncio.run(main())
