/**
 * A DNS query over TCP, for an answer that does not fit into a datagram: a connection to each resolver that is asked
 * (RFC 7766), closed with the first answer.
 *
 * A resolver that refuses, breaks the connection, ends it without an answer, or answers something else, has failed, and
 * the next is asked; so it is with one that takes the connection and stays silent (`dns_exchange.ts` has the times).
 * A guest that repeats itself changes nothing: TCP repeats by itself.
 *
 * **Limits.** One answer, of the length that its first two bytes say, is kept for each connection until it is whole.
 *
 * @module
 */
import { readUint16, writeUint16 } from "../../net/wire/bytes.ts";
import {
  FAILED,
  type HostConnectHandler,
  type HostError,
  type HostNetwork,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";
import type { Target } from "../rules/translate.ts";
import { DnsExchange } from "./dns_exchange.ts";

/** Bytes of a message's length in front of it (RFC 1035 section 4.2.2). */
export const DNS_LENGTH_BYTES = 2;

/** A query and its connections. */
export class DnsTcpExchange extends DnsExchange {
  #attempts = new Map<Target, Attempt>();

  /** Connects to `server` and sends the query; does nothing if that is under way. */
  protected override send(server: Target): boolean {
    if (this.#attempts.has(server)) return true;
    const query = new Uint8Array(DNS_LENGTH_BYTES + this.message.length);
    writeUint16(query, 0, this.message.length);
    query.set(this.message, DNS_LENGTH_BYTES);
    this.#attempts.set(
      server,
      new Attempt(this.context.host, server, {
        query,
        answered: (bytes) => {
          if (!this.heard(server, bytes, 0, bytes.length)) this.serverFailed(server);
        },
        failed: (error) => {
          if (error === "exhausted") this.exhausted = true;
          this.serverFailed(server);
        },
      }),
    );
    return true;
  }

  /** Closes the connections. */
  protected override release(): void {
    for (const attempt of this.#attempts.values()) attempt.close();
    this.#attempts.clear();
  }
}

interface AttemptUser {
  /** The query with its length in front. */
  readonly query: Uint8Array;
  /** The answer is whole; the connection is closed. */
  readonly answered: (bytes: Uint8Array) => void;
  /** There will be no answer; the connection is closed. */
  readonly failed: (error: HostError) => void;
}

/** A connection to one resolver, for one query and its answer. */
class Attempt implements HostConnectHandler {
  #socket: HostTcpSocket | null;
  #user: AttemptUser;
  #sent = 0;
  /** The answer's length as far as it has come, then the answer. */
  #bytes = new Uint8Array(DNS_LENGTH_BYTES);
  #got = 0;
  #isLength = true;

  constructor(host: HostNetwork, server: Target, user: AttemptUser) {
    this.#user = user;
    this.#socket = host.connectTcp(server, this);
  }

  hostConnected(): void {
    this.hostWritable();
  }

  hostConnectFailed(error: HostError): void {
    this.#socket = null;
    this.#user.failed(error);
  }

  hostFailed(error: HostError): void {
    this.#fail(error);
  }

  hostWritable(): void {
    const socket = this.#socket!, { query } = this.#user;
    while (this.#sent < query.length) {
      const taken = socket.write(query, this.#sent, query.length);
      if (taken === FAILED) return this.#fail(socket.error);
      if (taken === WOULD_BLOCK) break;
      this.#sent += taken;
    }
    socket.setInterest(this.#sent < query.length ? READ | WRITE : READ);
  }

  hostReadable(): void {
    for (;;) {
      const socket = this.#socket!, count = socket.read(this.#bytes, this.#got, this.#bytes.length);
      if (count === WOULD_BLOCK) return;
      if (count <= 0) return this.#fail(count === FAILED ? socket.error : "reset");
      this.#got += count;
      if (this.#got < this.#bytes.length) continue;
      if (!this.#isLength) break;
      const length = readUint16(this.#bytes, 0);
      if (length === 0) return this.#fail("other");
      this.#bytes = new Uint8Array(length);
      this.#got = 0;
      this.#isLength = false;
    }
    this.close();
    this.#user.answered(this.#bytes);
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  #fail(error: HostError): void {
    this.close();
    this.#user.failed(error);
  }
}
