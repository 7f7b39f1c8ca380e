"""A handler with a native module."""

import logging

import numpy as np

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event, context):
    a = np.array(event["matrix"], dtype=np.float64)
    logger.info("a matrix of %s", a.shape)
    values = np.linalg.eigvalsh(a)
    large = np.arange(250_000, dtype=np.float64).reshape(500, 500)
    return {
        "inverse": np.linalg.inv(a).round(6).tolist(),
        "eigenvalues": values.round(6).tolist(),
        "product": float((large @ large.T).trace()),
        "fft": float(np.abs(np.fft.fft(np.ones(64)))[0]),
    }
