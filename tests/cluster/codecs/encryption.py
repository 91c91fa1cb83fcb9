"""The encryption codec that Temporal's samples have in each language: AES-256-GCM, the nonce before the sealed payload, the
key's name in the metadata."""

import os
from typing import Iterable, List, Sequence, Tuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCODING = b"binary/encrypted"


class Encryption(PayloadCodec):
    """The first key encrypts, each decrypts."""

    def __init__(self, keys: Sequence[Tuple[str, bytes]]) -> None:
        self.first = keys[0][0]
        self.keys = {name: AESGCM(key) for name, key in keys}

    async def encode(self, payloads: Iterable[Payload]) -> List[Payload]:
        return [self.sealed(payload) for payload in payloads]

    async def decode(self, payloads: Iterable[Payload]) -> List[Payload]:
        return [self.opened(payload) for payload in payloads]

    def sealed(self, payload: Payload) -> Payload:
        nonce = os.urandom(12)
        data = self.keys[self.first].encrypt(nonce, payload.SerializeToString(), None)
        metadata = {"encoding": ENCODING, "encryption-key-id": self.first.encode()}
        return Payload(metadata=metadata, data=nonce + data)

    def opened(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key = self.keys[payload.metadata["encryption-key-id"].decode()]
        return Payload.FromString(key.decrypt(payload.data[:12], payload.data[12:], None))
