/**
 * A TCP flow: an endpoint that faces the guest, paired with a host socket.
 *
 * **Opening** is another's business (`tcp_guest_opening.ts` where the guest began, `tcp_host_opening.ts` where a client of the host did): it gives the relay its host
 * socket and sets the endpoint going. The socket is not read before the endpoint can send, that is, before the guest is connected.
 *
 * **Two directions.** Guest to host: bytes go to the socket as they arrive, those of small segments together at the end of the turn (`gathering.ts`); what it does not take waits in the endpoint's queue, whose free space is
 * the window. Host to guest: the socket is read only for what the endpoint can send. Each direction ends by itself: the guest's FIN becomes `closeWrite()` once every
 * byte is written, the host's EOF becomes FIN once every byte is sent. Nothing of one end says anything of the other.
 *
 * **Two lives.** The endpoint's ends in CLOSED or TIME-WAIT; the relay's when the queue is written, `closeWrite()` is done and EOF was read. A relay that outlives
 * its endpoint's place in the table is `draining`: its key is free for a new SYN. The socket is closed when both have ended, except for a reset.
 *
 * **Resets.** The guest's RST resets the host connection at once. When the host connection breaks, bytes already read are delivered first, while the guest
 * makes progress, then RST. A guest that falls silent is given up by the endpoint, and one whose link has ended cannot be asked any more: what it was acknowledged is still
 * written; then the host sees an orderly end if the guest had sent its FIN, and a reset if not.
 *
 * **Its ending** has one name (`endings.ts`): what broke it off first, and where nothing did, whose end came first.
 *
 * Calls of the host and of the endpoint only note what happened where acting at once could re-enter the endpoint; the rest is done in `endTurn`.
 *
 * @module
 */
import { formatEndpoint } from "../../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import type { FlowEnding } from "../flow/endings.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { RelayContext } from "../flow/context.ts";
import { type Flow, type FlowInfo, type FlowPlace, type ForwardTarget, type GuestSide, NOWHERE } from "../flow/flow.ts";
import {
  FAILED,
  type HostEndpoint,
  type HostError,
  type HostTcpHandler,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";
import type { Path } from "../ip/path.ts";
import type { TcpEnd, TcpPorts, TcpUser } from "../tcp/context.ts";
import { type QueueSink, TcpEndpoint } from "../tcp/endpoint.ts";
import type { TcpState } from "../tcp/transitions.ts";
import { GATHERED_LEAST, GATHERED_MOST, type Gatherer } from "./gathering.ts";

/** Reads of a host socket in one turn. */
const READS_PER_TURN = 16;

/** What begins a flow. */
export interface TcpOpening {
  /** Gives `relay` its host socket, now or later, and sets its endpoint going. */
  begin(relay: TcpRelay): void;
  /** The flow is over; what is still under way is given up. */
  cancel(): void;
}

/** A guest's TCP connection and its host socket. */
export class TcpRelay implements Flow, TcpPorts, TcpUser, HostTcpHandler, Gatherer, QueueSink {
  /** The flow's key; `guest`, ports and addresses. */
  readonly key: FlowKey;
  /** The guest's connection. */
  readonly endpoint: TcpEndpoint;
  /** The guest. */
  readonly guest: GuestSide;
  /** The way to the guest. */
  readonly path: Path;
  /** The forward whose client began; `null`: the guest did. */
  readonly forward: ForwardTarget | null;
  /** Whether the guest knows of the connection. */
  known: boolean;
  /** Where it is found. */
  place: FlowPlace = NOWHERE;

  #context: RelayContext;
  #opening: TcpOpening;
  #hostEnd: HostEndpoint;
  #socket: HostTcpSocket | null = null;
  #since: number;
  #due = false;
  #endpointEnd: TcpEnd | null = null;
  #guestFinished = false;
  #hostWriteClosed = false;
  #hostEof = false;
  /** Why the host connection broke; it may still hold bytes to read. */
  #hostError: HostError | null = null;
  /** The name of its ending, as far as that is known. */
  #ending: FlowEnding | null = null;
  #isBrokenOff = false;
  #ended = false;
  #bytesToHost = 0;
  #bytesFromHost = 0;

  /** A flow between `guest` and `hostEnd`, not yet begun. */
  constructor(
    context: RelayContext,
    flow: { guest: GuestSide; key: FlowKey; hostEnd: HostEndpoint; forward: ForwardTarget | null; opening: TcpOpening },
  ) {
    this.#context = context;
    this.guest = flow.guest;
    this.key = flow.key;
    this.forward = flow.forward;
    this.known = flow.forward === null;
    this.path = flow.guest.path(flow.key);
    this.#hostEnd = flow.hostEnd;
    this.#opening = flow.opening;
    this.#since = context.now();
    this.endpoint = new TcpEndpoint(context.tcp, { lower: this.path, ports: this, user: this });
  }

  /** Whose time the host's work for it takes. */
  get payer(): object | undefined {
    return this.guest.payer;
  }

  /** Begins. */
  open(): void {
    this.#opening.begin(this);
  }

  /** For the opening: the host socket and where it leads, or that there is none. */
  setHost(socket: HostTcpSocket | null, end: HostEndpoint = this.#hostEnd): void {
    this.#socket = socket;
    this.#hostEnd = end;
  }

  /** For the opening: the host socket is given up before it is connected. */
  abandonHost(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  /** The flow will not end in order. What comes first names the ending. */
  breakOff(ending: FlowEnding): void {
    if (this.#isBrokenOff) return;
    this.#isBrokenOff = true;
    this.#ending = ending;
  }

  /** For the opening: a log line about this flow. */
  warn(what: string): void {
    this.#context.log.warn(() => `Flow ${this.key} to ${this.#hostText()} ended: ${what}`);
  }

  /** Payload bytes received in order. */
  get bytesFromGuest(): number {
    return this.endpoint.receive.bytes;
  }

  /** Payload bytes that the guest has acknowledged. */
  get bytesToGuest(): number {
    return this.endpoint.send.bytes;
  }

  /** What `flows()` shows. */
  info(): FlowInfo {
    return {
      number: this.place.number,
      protocol: "tcp",
      guestNumber: this.key.guest,
      guest: formatEndpoint(this.key.guestAddress, this.key.guestPort),
      target: formatEndpoint(this.key.remoteAddress, this.key.remotePort),
      host: this.#hostText(),
      openedBy: this.forward === null ? "guest" : "host",
      state: this.#endpointEnd !== null && this.endpoint.state === "CLOSED" ? "draining" : this.endpoint.state,
      bytesFromGuest: this.bytesFromGuest,
      bytesToGuest: this.bytesToGuest,
      bytesToHost: this.#bytesToHost,
      bytesFromHost: this.#bytesFromHost,
      retransmissions: this.endpoint.send.retransmissions,
      ageMs: this.#context.now() - this.#since,
      idleMs: this.#context.now() - this.endpoint.heardAt,
    };
  }

  /** TIME-WAIT gives way to a new connection with the same key. */
  giveUpKey(): void {
    this.endpoint.leaveTimeWait();
    this.#settle();
  }

  /** The path to the guest carries less: no segment from now on is larger. Returns whether any would have been. */
  pathMtuChanged(): boolean {
    const { send } = this.endpoint, isNews = send.mss > this.path.maxSegmentSize;
    if (isNews) send.mss = this.path.maxSegmentSize;
    return isNews;
  }

  /** Ends the flow at once on both sides; where the guest is gone, after what it was acknowledged is written. */
  abort(ending: FlowEnding): void {
    this.#context.gathering.flushOf(this);
    // Without a socket everything has passed already, and only TIME-WAIT is cut short.
    if (this.#socket !== null) this.breakOff(ending);
    const isLost = ending === "guestGone" && !this.#ended && this.#endpointEnd === null;
    this.endpoint.abort();
    if (!isLost || !this.#owesHost) {
      return this.#finish(!this.#guestFinished || this.#owesHost || ending === "forwardRemoved");
    }
    this.#endpointEnd = "timedOut";
    this.#makeDue();
  }

  // --- TcpPorts ---

  /** The port the guest asked for. */
  get localPort(): number {
    return this.key.remotePort;
  }

  /** The guest's port. */
  get peerPort(): number {
    return this.key.guestPort;
  }

  // --- TcpUser: the endpoint ---

  /** The handshake with the guest is complete: the host socket may be read. */
  tcpOpened(): void {
    this.known = true;
    this.#makeDue();
  }

  /** The guest may have another network card by now, or another guest its address. */
  tcpUnanswered(): void {
    this.path.ask();
  }

  /** Bytes of the guest: to the socket, as many as it takes. */
  tcpReceived(bytes: Uint8Array, start: number, end: number): number {
    if (this.#hostError !== null || this.#socket === null) return end - start;
    const length = end - start;
    // Where memory is full nothing may be taken that the socket could then refuse.
    if (length >= GATHERED_LEAST && length <= GATHERED_MOST && !this.#context.pool.isFull) {
      return this.#gather(bytes, start, end);
    }
    this.#context.gathering.flushOf(this);
    if (this.endpoint.queued > 0) return 0;
    return this.#write(bytes, start, end);
  }

  /** Segments of this turn, put together: to the socket, and what it does not take to the queue. */
  takeGathered(bytes: Uint8Array, end: number): void {
    if (this.#hostError !== null || this.#socket === null) return;
    const taken = this.#write(bytes, 0, end);
    if (taken < end && this.#hostError === null) this.endpoint.putBack(bytes, taken, end);
  }

  #gather(bytes: Uint8Array, start: number, end: number): number {
    const { gathering } = this.#context;
    if (!gathering.hasRoom(this, end - start)) {
      gathering.flush();
      // What comes behind bytes that wait in the queue goes there too.
      if (this.endpoint.queued > 0) return 0;
    }
    gathering.add(this, bytes, start, end);
    this.#makeDue();
    return end - start;
  }

  #write(bytes: Uint8Array, start: number, end: number): number {
    const taken = this.#socket!.write(bytes, start, end);
    if (taken > 0) {
      this.#bytesToHost += taken;
      if (taken < end - start) this.#makeDue();
      return taken;
    }
    if (taken === FAILED) this.#noteHostError(this.#socket!.error);
    this.#makeDue();
    return 0;
  }

  /** The guest's FIN came. */
  tcpPeerFinished(): void {
    this.#guestFinished = true;
    this.#ending ??= firstToFinish(this.endpoint.state);
    this.#makeDue();
  }

  /** More may be read from the host. */
  tcpSendRoom(): void {
    this.#makeDue();
  }

  /** The endpoint is over. */
  tcpEnded(reason: TcpEnd): void {
    this.#endpointEnd = reason;
    if (reason === "reset") this.breakOff("resetByGuest");
    else if (reason === "refused") this.breakOff("refusedByGuest");
    else if (reason === "timedOut") this.breakOff("guestSilent");
    this.#makeDue();
  }

  /** The key is free. */
  tcpTimeWaitOver(): void {
    this.#makeDue();
  }

  /** The endpoint has an ACK to send at the end of the turn. */
  tcpTurnDue(): void {
    this.#makeDue();
  }

  // --- HostTcpHandler: the socket ---

  /** Bytes, EOF or an error to read. */
  hostReadable(): void {
    this.#readHost();
    this.#makeDue();
  }

  /** Room for queued bytes. */
  hostWritable(): void {
    this.#makeDue();
  }

  /** The connection broke; what it still holds is read before the guest hears of it. */
  hostFailed(error: HostError): void {
    this.#noteHostError(error);
  }

  // --- what is due ---

  /** Writes, closes and ends what this turn made possible, then lets the endpoint acknowledge. */
  endTurn(): void {
    this.#due = false;
    if (this.#ended) return;
    this.#context.gathering.flushOf(this);
    this.#writeHost();
    if (this.#hostError !== null && this.endpoint.readRoom > 0) this.#readHost();
    // A client that goes before the guest has answered leaves nothing to deliver.
    if (this.#hostError !== null && (this.#hostEof || !this.known)) this.#breakGuest();
    this.#setInterest();
    this.endpoint.endTurn();
    if (this.#endpointEnd !== null) this.#settle();
  }

  /** Host to guest: what the endpoint has room for. */
  #readHost(): void {
    const socket = this.#socket;
    if (socket === null || this.#hostEof) return;
    for (let reads = 0; reads < READS_PER_TURN; reads++) {
      const room = this.endpoint.readRoom;
      if (room <= 0) return;
      const buffer = this.#context.readBuffer();
      const count = socket.read(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + room);
      if (count > 0) {
        this.#bytesFromHost += count;
        if (this.endpoint.write(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + count)) this.#context.readBufferTaken();
        if (count < room) return;
      } else if (count === WOULD_BLOCK) {
        return;
      } else {
        this.#hostEof = true;
        if (count === FAILED) this.#noteHostError(socket.error);
        if (this.#hostError === null) this.endpoint.closeWrite();
        return;
      }
    }
  }

  /** Guest to host: what is queued, then the end. */
  #writeHost(): void {
    const socket = this.#socket, { endpoint } = this;
    if (socket === null) return;
    if (this.#hostError !== null) return endpoint.dropQueued();
    if (endpoint.drainTo(this) === FAILED) return this.#noteHostError(socket.error);
    if (endpoint.queued === 0 && this.#guestFinished && !this.#hostWriteClosed) {
      this.#hostWriteClosed = true;
      socket.closeWrite();
    }
  }

  /** For the endpoint: bytes that waited, to the socket. */
  takeQueued(bytes: Uint8Array, start: number, end: number): number {
    const taken = this.#socket!.write(bytes, start, end);
    if (taken > 0) this.#bytesToHost += taken;
    return taken;
  }

  /** The host connection broke: nothing more goes to it, and nothing is expected from it but what it still holds. */
  #noteHostError(error: HostError): void {
    this.#hostError ??= error;
    this.breakOff("resetByHost");
    this.#makeDue();
  }

  /** The host connection is broken and everything read from it is queued: RST after it. */
  #breakGuest(): void {
    this.endpoint.dropQueued();
    this.endpoint.abortWhenSent();
  }

  #setInterest(): void {
    if (this.#socket === null || this.#endpointEnd === "reset") return;
    const read = !this.#hostEof && this.endpoint.readRoom > 0 ? READ : 0;
    const write = this.endpoint.queued > 0 && this.#hostError === null ? WRITE : 0;
    this.#socket.setInterest(read | write);
  }

  /** Whether bytes of the guest wait that the host can still be given. */
  get #owesHost(): boolean {
    return this.endpoint.queued > 0 && this.#hostError === null && this.#socket !== null;
  }

  /** The endpoint has ended: ends the relay too where nothing is owed, else leaves it to drain. */
  #settle(): void {
    const owed = this.#owesHost, orderly = this.#endpointEnd === "finished";
    if (this.#endpointEnd === "timedOut" && !owed && this.#ending === "guestSilent") {
      this.warn(this.known ? "the guest fell silent" : "the guest does not answer");
    }
    if (!owed || this.#endpointEnd === "reset" || this.#endpointEnd === "aborted") {
      this.#closeSocket(
        !orderly && (owed || !this.#guestFinished || (!this.#hostEof && this.#endpointEnd !== "timedOut")),
      );
    }
    if (this.endpoint.state === "TIME-WAIT") return;
    if (this.#socket === null) this.#finish(false);
    else this.#context.registry.drain(this);
  }

  #closeSocket(reset: boolean): void {
    const socket = this.#socket;
    this.#socket = null;
    if (reset) socket?.reset();
    else socket?.close();
  }

  #finish(reset: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#opening.cancel();
    this.#closeSocket(reset);
    this.endpoint.dispose();
    this.#context.registry.ended(this, this.#ending!);
  }

  #makeDue(): void {
    if (this.#due) return;
    this.#due = true;
    this.#context.due(this);
  }

  #hostText(): string {
    return formatEndpoint(this.#hostEnd.address, this.#hostEnd.port);
  }
}

/** Whose end was first, by the state that the guest's FIN led to. */
function firstToFinish(state: TcpState): FlowEnding {
  if (state === "CLOSE-WAIT") return "guestFirst";
  return state === "CLOSING" ? "bothAtOnce" : "hostFirst";
}
