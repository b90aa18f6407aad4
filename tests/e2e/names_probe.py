"""What a guest tries in the tests of names: each function says in a word how it ended.

"open" and what the server said, "refused" (RST instead of a SYN-ACK), "reset" (RST later, or an end without an answer),
"unreachable" (an ICMP error), "no name" (the name does not exist), "try again" (the resolver fails), "silence".
"""
import errno, socket, ssl, struct, time

PATIENCE = 20


def outcome(attempt):
    try:
        return attempt()
    except ConnectionRefusedError:
        return "refused"
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return "reset"
    except ssl.SSLError as error:
        return "reset" if "EOF" in str(error) else f"TLS: {error.reason}"
    except (TimeoutError, socket.timeout):
        return "silence"
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return "no name"
        return "try again" if error.errno == socket.EAI_AGAIN else str(error)
    except OSError as error:
        if error.errno in (errno.EHOSTUNREACH, errno.EACCES, errno.ENETUNREACH, errno.EPERM):
            return "unreachable"
        return str(error)


def connect(host, port, source=None):
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    conn = socket.socket(family, socket.SOCK_STREAM)
    conn.settimeout(PATIENCE)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source is not None:
        conn.bind(("", source))
        # The key of the flow is free at once, on both sides.
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.connect(address)
    return conn


def read(conn):
    """The last line of what comes first; an end without a byte counts as a reset."""
    data = conn.recv(65536)
    if data == b"":
        raise ConnectionResetError()
    return "open " + data.decode("latin1").strip().split("\n")[-1].strip()


def raw(host, port, *pieces, source=None):
    """Sends these bytes, one after the other, and reads."""

    def attempt():
        with connect(host, port, source) as conn:
            for piece in pieces:
                conn.sendall(piece)
                time.sleep(0.01 if len(pieces) > 1 else 0)
            return read(conn)

    return outcome(attempt)


def http(host, port, *fields, line="GET / HTTP/1.1", source=None):
    """A request with these header fields."""
    return raw(host, port, "\r\n".join([line, *fields, "connection: close", "", ""]).encode(), source=source)


def context(version=None):
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    result.check_hostname, result.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        result.minimum_version = result.maximum_version = version
    return result


def tls(host, port, sni, version=None, source=None, inside=None):
    """A handshake with this SNI, or none, and a request inside."""

    def attempt():
        with connect(host, port, source) as conn:
            with context(version).wrap_socket(conn, server_hostname=sni) as secure:
                secure.sendall(f"GET / HTTP/1.1\r\nhost: {inside or sni}\r\nconnection: close\r\n\r\n".encode())
                return read(secure)

    return outcome(attempt)


def hello(sni):
    """The bytes of a ClientHello with this SNI."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context().wrap_bio(incoming, outgoing, server_hostname=sni).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def udp(host, port, data=b"question"):
    """A datagram and its answer."""

    def attempt():
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as conn:
            conn.settimeout(PATIENCE)
            conn.connect(address)
            conn.send(data)
            return "open " + conn.recv(65536).decode("latin1")

    return outcome(attempt)


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label for label in name.encode("latin1").split(b".") if label) + b"\0"


def query(name, kind=1, flags=0x0100, questions=1, klass=1, edns=True):
    extra = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0) if edns else b""
    head = struct.pack(">HHHHHH", 77, flags, questions, 0, 0, 1 if edns else 0)
    return head + (name_bytes(name) + struct.pack(">HH", kind, klass)) * questions + extra


def ask(message, server="10.0.2.3", tcp=False):
    """The answer to this message of DNS, as bytes."""
    if not tcp:
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as conn:
            conn.settimeout(PATIENCE)
            conn.connect((server, 53))
            conn.send(message)
            return conn.recv(65536)
    with connect(server, 53) as conn:
        conn.sendall(struct.pack(">H", len(message)) + message)
        answer = b""
        while len(answer) < 2 or len(answer) < 2 + struct.unpack(">H", answer[:2])[0]:
            more = conn.recv(65536)
            if more == b"":
                raise ConnectionResetError()
            answer += more
        return answer[2:]


def skip_name(data, at):
    while data[at] != 0:
        if data[at] >= 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


def decode(data):
    """The code, the addresses and other data of the answer, and the text of an Extended DNS Error."""
    _, flags, questions, *counts = struct.unpack(">HHHHHH", data[:12])
    at, found, error = 12, [], None
    for _ in range(questions):
        at = skip_name(data, at) + 4
    for i in range(sum(counts)):
        at = skip_name(data, at)
        kind, _, _, length = struct.unpack(">HHIH", data[at : at + 10])
        body = data[at + 10 : at + 10 + length]
        at += 10 + length
        if kind == 41 and length >= 6 and body[:2] == b"\0\x0f":
            error = (struct.unpack(">H", body[4:6])[0], body[6 : 4 + struct.unpack(">H", body[2:4])[0]].decode("latin1"))
        elif i < counts[0] and kind in (1, 28):
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, body))
        elif i < counts[0] and kind != 5:
            found.append(body.hex())
    code = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"][flags & 15]
    return code, found, error


def dns(name, kind=1, server="10.0.2.3", tcp=False, **more):
    """What DNS says of a name: the code, what was found, and the Extended DNS Error if there is one."""

    def attempt():
        code, found, error = decode(ask(query(name, kind, **more), server, tcp))
        return " ".join([code, *found, *([] if error is None else [f"EDE {error[0]}"])])

    return outcome(attempt)


def resolve(name):
    """What getaddrinfo says of a name."""
    return outcome(lambda: " ".join(sorted({found[4][0] for found in socket.getaddrinfo(name, 443)})))


def with_extension(message, kind, body):
    """A ClientHello in one record with one more extension, at its end."""
    # Behind header of record and handshake, version and random: session, ciphers, compression, extensions.
    at = 5 + 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + struct.unpack(">H", message[at : at + 2])[0]
    at += 1 + message[at]
    extensions = message[at + 2 :] + struct.pack(">HH", kind, len(body)) + body
    inner = message[9:at] + struct.pack(">H", len(extensions)) + extensions
    shake = message[5:6] + struct.pack(">I", len(inner))[1:] + inner
    return message[:3] + struct.pack(">H", len(shake)) + shake
