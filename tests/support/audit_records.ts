/**
 * Records as a gateway would make them, with what does not matter filled in.
 *
 * @module
 */
import {
  type AuditRecord,
  type CloseFacts,
  type DnsFacts,
  type OpenFacts,
  RECORD_VERSION,
  type RecordFacts,
  type RefuseFacts,
  type VerifiedFacts,
} from "../../audit/records.ts";

/** What every record of these begins with. */
const HEAD = { v: RECORD_VERSION, run: "a", time: "2026-01-02T03:04:05.678Z", guest: 1 } as const;

/** Makes records of one run. */
export class Records {
  /** What was made. */
  readonly list: AuditRecord[] = [];
  #run: string;

  /** Of the run with this name. */
  constructor(run: string = "a") {
    this.#run = run;
  }

  /** A flow of a guest, which is 1 unless told otherwise. */
  open(members: Partial<OpenFacts> = {}): this {
    return this.#add({ event: "open", flow: 1, ...ENDS, host: "192.0.2.7:443", rule: null, by: "guest", ...members });
  }

  /** Its name. */
  verified(name: string, members: Partial<VerifiedFacts> = {}): this {
    return this.#add({ event: "verified", flow: 1, via: "sni", name, ech: false, ...members });
  }

  /** Its end. */
  close(members: Partial<CloseFacts> = {}): this {
    const counts = { bytesFromGuest: 1, bytesToGuest: 2, durationMs: 3 };
    return this.#add({ event: "close", flow: 1, ...counts, ending: "guestFirst", verified: false, ...members });
  }

  /** A refusal. */
  refuse(members: Partial<RefuseFacts> = {}): this {
    return this.#add({ event: "refuse", ...ENDS, reason: "notAllowed", rule: null, count: 1, ...members });
  }

  /** A question. */
  dns(name: string, members: Partial<DnsFacts> = {}): this {
    return this.#add({ event: "dns", name, type: "A", via: "udp", decision: "forwarded", rule: null, ...members });
  }

  #add(facts: RecordFacts): this {
    this.list.push({ ...HEAD, run: this.#run, seq: this.list.length + 1, ...facts } as AuditRecord);
    return this;
  }
}

const ENDS = {
  protocol: "tcp",
  source: "10.0.2.15:40000",
  address: "192.0.2.7",
  port: 443,
  names: ["registry.example"],
} as const;
