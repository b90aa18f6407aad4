/**
 * A client that goes on at the port its answer came from, as TFTP's do (RFC 1350 section 4): `tftp_guest.ts HOST PORT`.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const [host, port] = Deno.args;
const socket = createSocket("udp4"), text = new TextDecoder();
socket.send("RRQ", Number(port), host);
const [data, from] = await once(socket, "message");
socket.send("ACK", from.port, from.address);
const [reply] = await once(socket, "message");
console.log(`${text.decode(data)} from ${from.port}, then ${text.decode(reply)}`);
socket.close();
