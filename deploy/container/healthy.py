"""The image's health check: ends with 0 while the service on this port (default 9095) answers that it is healthy."""

import http.client
import ssl
import sys

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 9095
TIMEOUT_SECONDS = 2.0


def healthy(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ways() -> list[http.client.HTTPConnection]:
    """Plain, and with TLS: which of them it serves is for its configuration to know."""
    # It is asked about itself on its own loopback; whose name the certificate has does not matter here.
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return [
        http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT_SECONDS),
        http.client.HTTPSConnection("127.0.0.1", PORT, timeout=TIMEOUT_SECONDS, context=anybody),
    ]


if __name__ == "__main__":
    sys.exit(0 if any(map(healthy, ways())) else 1)
