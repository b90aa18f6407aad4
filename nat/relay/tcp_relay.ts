/**
 * A TCP flow: an endpoint that faces the guest, paired with a host socket.
 *
 * **Opening** is another's business (`tcp_guest_opening.ts` where the guest began, `tcp_host_opening.ts` where a client
 * of the host did): it gives the relay its host socket and sets the endpoint going. The socket is not read before the
 * endpoint can send, that is, before the guest is connected.
 *
 * **Two directions.** Guest to host: bytes go to the socket as they arrive, those of small segments together at the end
 * of the turn (`gathering.ts`); what it does not take waits in the endpoint's queue, whose free space is the window.
 * Host to guest: the socket is read only for what the endpoint can send. Each direction ends by itself: the guest's FIN
 * becomes `closeWrite()` once every byte is written, the host's EOF becomes FIN once every byte is sent. Nothing of one
 * end says anything of the other.
 *
 * **Two lives.** The endpoint's ends in CLOSED or TIME-WAIT; the relay's when the queue is written, `closeWrite()` is
 * done and EOF was read. A relay that outlives its endpoint's place in the table is `draining`: its key is free for a
 * new SYN. What becomes of the socket when the endpoint is over, an orderly end, a reset or draining, is a table
 * (`tcp_close.ts`).
 *
 * **Resets.** When the host connection breaks, bytes that it still holds are read and delivered first, while the guest
 * makes progress, then RST. No handler is called for them (`host.ts`, "Failing"), so the relay reads by itself as the
 * guest makes room.
 *
 * **Its ending** has one name (`endings.ts`): what broke it off first, and where nothing did, whose end came first.
 *
 * Calls of the host and of the endpoint only note what happened where acting at once could re-enter the endpoint; the
 * rest is done in `endTurn`.
 *
 * @module
 */
import { formatEndpoint } from "../../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import type { FlowEnding } from "../flow/endings.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import {
  type Flow,
  type FlowInfo,
  type FlowJudge,
  type FlowPlace,
  type ForwardTarget,
  type GuestSide,
  NOWHERE,
} from "../flow/flow.ts";
import {
  FAILED,
  type HostEndpoint,
  type HostTcpHandler,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";
import type { Path } from "../ip/path.ts";
import type { FlowPermit, Said } from "../rules/verdict.ts";
import type { QueueSink, TcpEnd, TcpPorts, TcpUser } from "../tcp/context.ts";
import { TcpEndpoint } from "../tcp/endpoint.ts";
import type { TcpState } from "../tcp/transitions.ts";
import { GATHERED_LEAST, GATHERED_MOST, type Gatherer } from "./gathering.ts";
import { abortedAs, type Direction, ENDINGS, type GuestEnd, stageOf, verdict } from "./tcp_close.ts";

/** Reads of a host socket in one turn. */
const READS_PER_TURN = 16;

/** Another way for a connected host socket to a guest that has refused the first. */
export interface TcpRetry {
  /** Whether there is one. */
  isPossible(): boolean;
  /** Takes it. */
  retry(): void;
}

/** What begins a flow. */
export interface TcpOpening {
  /** Gives `relay` its host socket, now or later, and sets its endpoint going. */
  begin(relay: TcpRelay): void;
  /** The guest has refused. Returns who uses the host socket once the flow is over; null: it is closed. */
  refused(): TcpRetry | null;
  /** The flow is over; what is still under way is given up. */
  cancel(): void;
}

/** The state of a relay beside that of its endpoint, times in `now()` time. */
export interface TcpRelayRecord {
  /** When it began. */
  readonly since: number;
  /** Whether the guest knows of the connection. */
  known: boolean;
  /** Whether something is due at the end of the turn. */
  due: boolean;
  /** How the guest's side is over. */
  guestEnd: GuestEnd | null;
  /** What the guest says to the host. */
  readonly toHost: Direction;
  /** What the host says to the guest. */
  readonly toGuest: Direction;
  /** The name of its ending, as far as that is known. */
  ending: FlowEnding | null;
  /** Whether it does not end in order. */
  brokenOff: boolean;
  /** Whether it is over. */
  ended: boolean;
  /** Payload bytes that the host socket has taken. */
  bytesToHost: number;
  /** Payload bytes read from the host socket. */
  bytesFromHost: number;
  /** What its first bytes have said, if they were looked at and did. */
  said: Said | null;
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
  /** What let it begin; null: no rule concerns it. */
  readonly permit: FlowPermit | null;
  /** All of its state but the endpoint's, and the values that name it: its key, its place and the host's end. */
  readonly record: TcpRelayRecord;
  /** Where it is found. */
  place: FlowPlace = NOWHERE;

  #context: RelayContext;
  #opening: TcpOpening;
  #hostEnd: HostEndpoint;
  #socket: HostTcpSocket | null = null;

  /** A flow between `guest` and `hostEnd`, not yet begun. */
  constructor(
    context: RelayContext,
    flow: {
      guest: GuestSide;
      key: FlowKey;
      hostEnd: HostEndpoint;
      forward: ForwardTarget | null;
      permit: FlowPermit | null;
      opening: TcpOpening;
    },
  ) {
    this.#context = context;
    this.guest = flow.guest;
    this.key = flow.key;
    this.forward = flow.forward;
    this.permit = flow.permit;
    this.record = {
      since: context.now(),
      known: flow.forward === null,
      due: false,
      guestEnd: null,
      toHost: { finished: false, closed: false, failed: false },
      toGuest: { finished: false, closed: false, failed: false },
      ending: null,
      brokenOff: false,
      ended: false,
      bytesToHost: 0,
      bytesFromHost: 0,
      said: null,
    };
    this.path = flow.guest.path(flow.key);
    this.#hostEnd = flow.hostEnd;
    this.#opening = flow.opening;
    this.endpoint = new TcpEndpoint(context.tcp, { lower: this.path, ports: this, user: this });
  }

  /** Whether the guest knows of the connection. */
  get known(): boolean {
    return this.record.known;
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

  /** The flow will not end in order. What comes first names the ending. */
  breakOff(ending: FlowEnding): void {
    if (this.record.brokenOff) return;
    this.record.brokenOff = true;
    this.record.ending = ending;
  }

  /** For the opening: a log line about this flow. */
  warn(what: string): void {
    this.#context.log.warn(() => `Flow ${this.key} to ${this.#hostText()} ended: ${what}`);
  }

  /** Payload bytes received in order. */
  get bytesFromGuest(): number {
    return this.endpoint.receive.record.bytes;
  }

  /** Payload bytes that the guest has acknowledged. */
  get bytesToGuest(): number {
    return this.endpoint.send.record.bytes;
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
      state: this.record.guestEnd !== null && this.endpoint.state === "CLOSED" ? "draining" : this.endpoint.state,
      bytesFromGuest: this.bytesFromGuest,
      bytesToGuest: this.bytesToGuest,
      bytesToHost: this.record.bytesToHost - this.#unwritten,
      bytesFromHost: this.record.bytesFromHost,
      retransmissions: this.endpoint.send.record.retransmissions,
      ageMs: this.#context.now() - this.record.since,
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
    const { send } = this.endpoint, isNews = send.record.mss > this.path.maxSegmentSize;
    if (isNews) send.record.mss = this.path.maxSegmentSize;
    return isNews;
  }

  /** Ends the flow on both sides: at once, but for what a guest that is gone was acknowledged. */
  abort(ending: FlowEnding): void {
    this.#context.gathering.flushOf(this);
    const end = abortedAs(ending);
    // A guest whose side was over before it was gone has lost nothing.
    if (end !== "gone" || this.record.guestEnd === null) {
      // Without a socket everything has passed already, and only TIME-WAIT is cut short.
      if (this.#socket !== null) this.breakOff(ending);
      this.endpoint.abort();
      this.record.guestEnd = end;
    }
    this.endpoint.leaveTimeWait();
    this.#settle();
  }

  /** The flow does not begin: `open` is never called. */
  refuse(ending: FlowEnding): void {
    this.breakOff(ending);
    this.record.guestEnd = "closed";
    this.#settle();
  }

  /** Its first bytes said what may be said. */
  verified(said: Said): void {
    this.record.said = said;
  }

  /** Ends it if it does not go on under other rules. */
  rejudge(judge: FlowJudge): number {
    if (this.permit === null || judge.goesOn(this.guest, this.key, this.permit, this.record.said)) return 0;
    this.abort("rulesChanged");
    return 1;
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
    this.record.known = true;
    this.#makeDue();
  }

  /** The guest may have another network card by now, or another guest its address. */
  tcpUnanswered(): void {
    this.path.ask();
  }

  /** Bytes of the guest: to the socket, as many as it takes. */
  tcpReceived(bytes: Uint8Array, start: number, end: number): number {
    if (this.record.toHost.failed || this.#socket === null) return end - start;
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
    const { record } = this;
    if (record.toHost.failed || this.#socket === null) return;
    const taken = this.#write(bytes, 0, end);
    if (taken < end && !record.toHost.failed) this.endpoint.putBack(bytes, taken, end);
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
      this.record.bytesToHost += taken;
      if (taken < end - start) this.#makeDue();
      return taken;
    }
    if (taken === FAILED) this.#hostBroke();
    this.#makeDue();
    return 0;
  }

  /** The guest's FIN came. */
  tcpPeerFinished(): void {
    this.record.toHost.finished = true;
    this.record.ending ??= firstToFinish(this.endpoint.state);
    this.#makeDue();
  }

  /** More may be read from the host. */
  tcpSendRoom(): void {
    this.#makeDue();
  }

  /** The endpoint is over. */
  tcpEnded(reason: TcpEnd): void {
    this.record.guestEnd = reason;
    const ending = ENDINGS[reason];
    if (ending !== null) this.breakOff(ending);
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
  hostFailed(): void {
    this.#hostBroke();
  }

  // --- what is due ---

  /** Writes, closes and ends what this turn made possible, then lets the endpoint acknowledge. */
  endTurn(): void {
    const { record } = this;
    record.due = false;
    if (record.ended) return;
    this.#context.gathering.flushOf(this);
    this.#writeHost();
    if (record.toHost.failed) this.#endGuest();
    this.#setInterest();
    this.endpoint.endTurn();
    if (record.guestEnd !== null) this.#settle();
  }

  /** Host to guest: what the endpoint has room for. */
  #readHost(): void {
    const { record } = this;
    const socket = this.#socket;
    if (socket === null || record.toGuest.finished) return;
    for (let reads = 0; reads < READS_PER_TURN; reads++) {
      const room = this.endpoint.readRoom;
      if (room <= 0) return;
      const buffer = this.#context.readBuffer();
      const count = socket.read(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + room);
      if (count > 0) {
        record.bytesFromHost += count;
        if (this.endpoint.write(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + count)) this.#context.readBufferTaken();
        if (count < room) return;
      } else if (count === WOULD_BLOCK) {
        return;
      } else {
        record.toGuest.finished = true;
        if (count === FAILED) this.#hostBroke();
        else this.endpoint.closeWrite();
        return;
      }
    }
  }

  /** Guest to host: what is queued, then the end. */
  #writeHost(): void {
    const { record } = this;
    const socket = this.#socket, { endpoint } = this;
    if (socket === null) return;
    if (record.toHost.failed) return endpoint.dropQueued();
    if (endpoint.drainTo(this) === FAILED) return this.#hostBroke();
    if (endpoint.queued === 0 && record.toHost.finished && !record.toHost.closed) {
      record.toHost.closed = true;
      socket.closeWrite();
    }
  }

  /** For the endpoint: bytes that waited, to the socket. */
  takeQueued(bytes: Uint8Array, start: number, end: number): number {
    const taken = this.#socket!.write(bytes, start, end);
    if (taken > 0) this.record.bytesToHost += taken;
    return taken;
  }

  /** The host connection broke: nothing more goes to it, and nothing is expected from it but what it still holds. */
  #hostBroke(): void {
    this.record.toHost.failed = true;
    this.breakOff(this.#socket?.endsAs ?? "resetByHost");
    this.#makeDue();
  }

  /**
   * The host connection is broken: RST for the guest, behind what could still be read, or at once if the gateway has
   * broken it. A client that goes before the guest has answered leaves nothing to deliver.
   */
  #endGuest(): void {
    const { record } = this;
    if (this.#socket?.endsAs !== undefined) return this.endpoint.abort();
    if (record.known) this.#readHost();
    if (record.known && !record.toGuest.finished) return;
    this.endpoint.abortWhenSent();
  }

  #setInterest(): void {
    const { record } = this;
    if (this.#socket === null) return;
    const read = !record.toGuest.finished && this.endpoint.readRoom > 0 ? READ : 0;
    const write = this.endpoint.queued > 0 && !record.toHost.failed ? WRITE : 0;
    this.#socket.setInterest(read | write);
  }

  /** The guest's side is over: closes the socket as the table says, and ends with it or leaves the relay to drain. */
  #settle(): void {
    const { record } = this;
    const again = record.guestEnd === "refused" && !record.toHost.failed ? this.#opening.refused() : null;
    if (again !== null) {
      this.#socket = null;
      this.#finish();
      return again.retry();
    }
    const end = record.guestEnd!, toHost = stageOf(record.toHost, this.endpoint.queued + this.#unwritten > 0);
    const what = verdict(end, toHost, record.toGuest.finished);
    if (end === "timedOut" && what !== "drain" && record.ending === "guestSilent") {
      this.warn(record.known ? "the guest fell silent" : "the guest does not answer");
    }
    if (what !== "drain") this.#closeSocket(what === "reset");
    if (this.endpoint.state === "TIME-WAIT") return;
    if (this.#socket === null) this.#finish();
    else this.#context.registry.drain(this);
  }

  #closeSocket(reset: boolean): void {
    const socket = this.#socket;
    this.#socket = null;
    if (reset) socket?.reset();
    else socket?.close();
  }

  #finish(): void {
    this.record.ended = true;
    this.#opening.cancel();
    this.endpoint.dispose();
    this.#context.registry.ended(this, this.record.ending!);
  }

  /** Bytes that the socket has taken and still owes to the host. */
  get #unwritten(): number {
    return this.#socket?.unwritten ?? 0;
  }

  #makeDue(): void {
    const { record } = this;
    if (record.due) return;
    record.due = true;
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
