# SPDX-License-Identifier: Apache-2.0
"""Python's http.client: `http_client.py URL CA HEADERS [UPLOAD]` prints the status in a line, then the body as it comes. A line on the standard
input has it close its connection."""
import http.client
import json
import os
import ssl
import sys
import threading
import urllib.parse


def main():
    url, headers = urllib.parse.urlsplit(sys.argv[1]), json.loads(sys.argv[3])
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=sys.argv[2])
        connection = http.client.HTTPSConnection(url.hostname, url.port, context=context)
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port)

    def leave():
        sys.stdin.readline()
        connection.sock.close()
        os._exit(3)

    threading.Thread(target=leave, daemon=True).start()
    if len(sys.argv) > 4:
        with open(sys.argv[4], "rb") as f:
            connection.request("POST", url.path, f.read(), headers)
    else:
        connection.request("GET", urllib.parse.urlunsplit(("", "", url.path, url.query, "")), headers=headers)
    answer = connection.getresponse()
    out = sys.stdout.buffer
    out.write(b"%d\n" % answer.status)
    out.flush()
    while piece := answer.read1(65536):
        out.write(piece)
        out.flush()
    os._exit(0)


main()
