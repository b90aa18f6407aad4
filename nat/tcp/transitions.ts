/**
 * The states of a TCP connection and every way from one to another (RFC 9293 section 3.3.2, figure 5).
 *
 * The table has a row for each state and in it an entry for each event: the next state, or `null` for what cannot
 * happen there because the endpoint does not raise that event in that state. There is no default. `transition` is pure;
 * the endpoint assigns its state from the answer, in one place.
 *
 * Two departures from the figure, both from the RFC's text: the user's CLOSE moves at once (section 3.10.4: "in any
 * case"), the FIN itself leaves when the data before it has left; and a SYN in LISTEN is answered only when the user
 * accepts, because the gateway first connects to the host, so `accept` and not the SYN leads to SYN-RECEIVED.
 *
 * @module
 */

/** The states by their RFC 9293 names. */
export type TcpState =
  | "CLOSED"
  | "LISTEN"
  | "SYN-SENT"
  | "SYN-RECEIVED"
  | "ESTABLISHED"
  | "FIN-WAIT-1"
  | "FIN-WAIT-2"
  | "CLOSE-WAIT"
  | "CLOSING"
  | "LAST-ACK"
  | "TIME-WAIT";

/** What moves a connection. */
export type TcpEvent =
  /** Passive OPEN. */
  | "listen"
  /** Active OPEN: our SYN is sent. */
  | "connect"
  /** The user takes the SYN that came: our SYN-ACK is sent. */
  | "accept"
  /** A SYN without an acceptable ACK (simultaneous open). */
  | "receiveSyn"
  /** A SYN with an acceptable ACK of ours. */
  | "receiveSynAck"
  /** The ACK of our SYN. */
  | "receiveAckOfSyn"
  /** The user has nothing more to send: our FIN is queued. */
  | "close"
  /** The peer's FIN, everything before it received. */
  | "receiveFin"
  /** An ACK that covers our FIN. */
  | "receiveAckOfFin"
  /** 2 MSL have passed, or a new SYN takes the connection over. */
  | "timeWaitOver"
  /** An acceptable RST. */
  | "receiveReset"
  /** The user or a timeout ends it, with a RST where the peer is there to see it. */
  | "abort";

/** The next state for each event, `null` where the event cannot come. */
export type TransitionRow = Readonly<Record<TcpEvent, TcpState | null>>;

const NEVER: TransitionRow = {
  listen: null,
  connect: null,
  accept: null,
  receiveSyn: null,
  receiveSynAck: null,
  receiveAckOfSyn: null,
  close: null,
  receiveFin: null,
  receiveAckOfFin: null,
  timeWaitOver: null,
  receiveReset: null,
  abort: null,
};
/** What ends a connection in every state that has a peer. */
const ENDS = { receiveReset: "CLOSED", abort: "CLOSED" } as const;

/** The next state for every state and event, `null` where the event cannot come. */
export const TRANSITIONS: Readonly<Record<TcpState, TransitionRow>> = {
  "CLOSED": { ...NEVER, listen: "LISTEN", connect: "SYN-SENT" },
  "LISTEN": { ...NEVER, ...ENDS, accept: "SYN-RECEIVED", close: "CLOSED" },
  "SYN-SENT": { ...NEVER, ...ENDS, receiveSyn: "SYN-RECEIVED", receiveSynAck: "ESTABLISHED", close: "CLOSED" },
  "SYN-RECEIVED": { ...NEVER, ...ENDS, receiveAckOfSyn: "ESTABLISHED" },
  "ESTABLISHED": { ...NEVER, ...ENDS, close: "FIN-WAIT-1", receiveFin: "CLOSE-WAIT" },
  "FIN-WAIT-1": { ...NEVER, ...ENDS, receiveFin: "CLOSING", receiveAckOfFin: "FIN-WAIT-2" },
  "FIN-WAIT-2": { ...NEVER, ...ENDS, receiveFin: "TIME-WAIT" },
  "CLOSE-WAIT": { ...NEVER, ...ENDS, close: "LAST-ACK" },
  "CLOSING": { ...NEVER, ...ENDS, receiveAckOfFin: "TIME-WAIT" },
  "LAST-ACK": { ...NEVER, ...ENDS, receiveAckOfFin: "CLOSED" },
  // A RST does not cut TIME-WAIT short (RFC 1337), and there is nothing left to abort.
  "TIME-WAIT": { ...NEVER, timeWaitOver: "CLOSED" },
};

/** Every state. */
export const TCP_STATES: readonly TcpState[] = Object.keys(TRANSITIONS) as TcpState[];

/**
 * The state that `event` leads to. Throws an `Error` for what the table says cannot happen: a defect of the endpoint.
 */
export function transition(state: TcpState, event: TcpEvent): TcpState {
  const next = TRANSITIONS[state][event];
  if (next === null) throw new Error(`Cannot move TCP state ${state}: event ${event} cannot happen there`);
  return next;
}

/** Whether a connection in this state may still receive bytes of the peer. */
export function mayReceive(state: TcpState): boolean {
  return state === "ESTABLISHED" || state === "FIN-WAIT-1" || state === "FIN-WAIT-2";
}

/** Whether both sides have agreed on sequence numbers (RFC 9293 section 3.3.2: "synchronized"). */
export function isSynchronized(state: TcpState): boolean {
  return state !== "CLOSED" && state !== "LISTEN" && state !== "SYN-SENT" && state !== "SYN-RECEIVED";
}

/** Whether the user may still send in this state. */
export function mayWrite(state: TcpState): boolean {
  return state === "ESTABLISHED" || state === "CLOSE-WAIT";
}

/** Whether data or FIN may leave in this state. */
export function mayTransmit(state: TcpState): boolean {
  return mayWrite(state) || state === "FIN-WAIT-1" || state === "CLOSING" || state === "LAST-ACK";
}
