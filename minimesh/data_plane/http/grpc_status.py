"""gRPC status codes as the HTTP statuses that they amount to, for whoever judges hosts by HTTP statuses."""

from __future__ import annotations

_HTTP_STATUS = {
    "0": 200,
    "1": 499,
    "2": 500,
    "3": 400,
    "4": 504,
    "5": 404,
    "6": 409,
    "7": 403,
    "8": 429,
    "9": 400,
    "10": 409,
    "11": 400,
    "12": 501,
    "13": 500,
    "14": 503,
    "15": 500,
    "16": 401,
}


def http_status(grpc_status: str) -> int:
    """Of the text of `grpc-status`; 500 for one that nobody knows."""
    return _HTTP_STATUS.get(grpc_status, 500)
