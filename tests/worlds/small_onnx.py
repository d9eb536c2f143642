"""The smallest ONNX net, written byte by byte: the softmax over the channels of an image. Needs no onnx package.

Fields and their numbers: onnx.proto3 of the ONNX specification.
"""

from __future__ import annotations

from pathlib import Path

FLOAT, INT_ATTRIBUTE = 1, 2


def write(path: Path, shape: tuple[int, int, int, int]) -> Path:
    """Write a net whose score of class i is the softmax over the input's channel i; `shape` is N, C, H, W."""
    axis = _text(1, "axis") + _number(3, 1) + _number(20, INT_ATTRIBUTE)
    node = _text(1, "x") + _text(2, "p") + _text(4, "Softmax") + _part(5, axis)
    graph = _part(1, node) + _text(2, "channels") + _part(11, _value("x", shape)) + _part(12, _value("p", shape))
    path.write_bytes(_number(1, 8) + _part(7, graph) + _part(8, _number(2, 13)))
    return path


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_part(1, _number(1, length)) for length in shape)
    return _text(1, name) + _part(2, _part(1, _number(1, FLOAT) + _part(2, dims)))


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _part(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
