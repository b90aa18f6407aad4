/**
 * The judge of a flow's first bytes: whether the name that they say is one that the rules allow there.
 *
 * An address says little of who answers: one address of a CDN has thousands of names. So what a guest says first of a
 * flow that only a name allows is held until it has said that name again, in its TLS ClientHello (SNI) or in the head
 * of its HTTP request (Host). That narrows what the name has opened and never widens it.
 *
 * **Held** is what may become TLS (its first byte is 0x16, or an SSLv2 hello or an alert begins) or HTTP/1
 * (`http_head.ts`). Any other stream passes at once and is not verified, SSH and databases among them; `strict` refuses
 * it. A hello or head that is malformed, too large or not whole in time, or that says no name or two, is never passed.
 *
 * **The name must be** one that the rules allow on this port, and bound to the flow's address for this guest. CONNECT
 * and an absolute target want something of a proxy: there the rules must allow the target's host and port, wherever it
 * is, and a Host beside it must be the same.
 *
 * **ECH** hides the name that is meant behind an outer one. Browsers send the extension without meaning it, so it
 * decides nothing, except that `strict` refuses it.
 *
 * **Watching**: a flow that an address rule allows, or no rule forbids, is looked at if the rules deny names. Then a
 * name that is denied is refused, and everything else passes, however it looks.
 *
 * **Reporting**: nothing is refused, and the listener hears of what would have been. Of a flow that no rule allows, so
 * that one may be made for its name (`learn`), he hears what would keep a name from being verified, and that one is
 * denied, but not that none is allowed.
 *
 * Rules are those at the time of the verdict. What comes behind the first hello or head is not seen.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { HttpHeadReader, type HttpTarget } from "../../net/wire/http_head.ts";
import {
  ClientHelloReader,
  findSslv2Hello,
  findTlsAlert,
  type FirstMessage,
  TLS_ALERT,
  TLS_HANDSHAKE,
} from "../../net/wire/tls_client_hello.ts";
import type { Rule } from "../rules/rule.ts";
import type { RuleList } from "../rules/rule_list.ts";
import type { Look } from "../rules/verdict.ts";
import type { FirstBytesEnding, FirstBytesJudge, FirstBytesVerdict } from "./socket_filter.ts";

/** Where a name was said. */
export type NameVia = "sni" | "host";

/** A name that a stream said, and that was verified. */
export interface SaidName {
  /** Where. */
  readonly via: NameVia;
  /** The name: in lower case, without a final dot. Of a target that is an address, that. */
  readonly name: string;
  /** The port for which it was said: the flow's, or that of a proxy's target. */
  readonly port: number;
  /** Whether an extension of Encrypted Client Hello was there. */
  readonly ech: boolean;
}

/** Why a stream is refused. */
export interface NameRefusal {
  /** Why, as one word, which is the flow's ending too. */
  readonly cause: FirstBytesEnding;
  /** The name that it said; null: none, or not just one. */
  readonly name: string | null;
  /** The rule that denies it; null: none allows it. */
  readonly rule: Rule | null;
  /** The same for people: what was wrong with what the guest said, and what would help. */
  readonly words: string;
}

/** Who hears of a verdict, once at most of each kind. */
export interface NameListener {
  /** The stream said a name that is bound to its address, or a proxy's target, that the rules allow or do not deny. */
  nameVerified(said: SaidName): void;
  /** The stream is refused, or would be. */
  nameRefused(refusal: NameRefusal): void;
}

/** What a judge goes by. */
export interface NameJudging {
  /** The rules at this time, for targets and denied names. */
  list(): Pick<RuleList, "name" | "address">;
  /** The rule that decides about this name at the flow's address and port; null: none matches. */
  ruleOf(name: string): Rule | null;
  /** Whether the flow's address is bound to this name for its guest at this time. */
  isBound(name: string): boolean;
  /** The port of the flow. */
  readonly port: number;
  /** What is looked for. */
  readonly look: Look;
  /** Whether what is not verified is refused. */
  readonly strict: boolean;
  /** Whether nothing is refused. */
  readonly reports: boolean;
  /** Who hears of it. */
  readonly listener: NameListener;
}

/** What a stream was found to want: names or targets, and what is wrong with them. */
interface Said {
  readonly via: NameVia;
  /** The names it says; null: one that is none. */
  readonly names: readonly (string | null)[];
  readonly target: HttpTarget | null;
  readonly ech: boolean;
  /** What is wrong with it, if that is so whatever the rules say. */
  readonly fault: string | null;
}

/** Judges one flow. */
export class NameJudge implements FirstBytesJudge {
  /** Why it was refused; null: it was not. */
  endsAs: FirstBytesEnding | null = null;

  #judging: NameJudging;
  #hello: ClientHelloReader | null = null;
  #head: HttpHeadReader | null = null;
  /** It may become what TLS servers take and what names nobody. */
  #isNameless = false;
  #verdict: FirstBytesVerdict = "more";

  /** Has seen nothing. */
  constructor(judging: NameJudging) {
    this.#judging = judging;
  }

  /** Judges the stream, which begins with `bytes[start, end)`. */
  judge(bytes: Uint8Array, start: number, end: number): FirstBytesVerdict {
    if (this.#verdict !== "more" || start === end) return this.#verdict;
    const first = bytes[start]!;
    if (first === TLS_HANDSHAKE) this.#readHello(bytes, start, end);
    else if (first === TLS_ALERT) this.#readNameless(findTlsAlert(bytes, start, end));
    else if (first >= 0x80) this.#readNameless(findSslv2Hello(bytes, start, end));
    else this.#readHead(bytes, start, end);
    return this.#verdict;
  }

  /** The last verdict, on what has been shown: the guest has finished, or it has taken too long or said too much. */
  last(hasFinished: boolean): FirstBytesVerdict {
    if (this.#verdict !== "more") return this.#verdict;
    const fault = hasFinished ? "ends before it is whole" : "is not whole in time";
    const isHeld = !hasFinished || this.#head?.isHttp;
    if (this.#hello !== null || (this.#isNameless && isHeld)) this.#said("sni", { fault });
    else if (this.#head !== null && isHeld) this.#said("host", { fault });
    else this.#unverified();
    return this.#verdict;
  }

  #readHello(bytes: Uint8Array, start: number, end: number): void {
    const hello = this.#hello ??= new ClientHelloReader(), found = hello.read(bytes, start, end);
    if (found !== "more") this.#said("sni", { names: hello.names, ech: hello.hasEch, fault: faultOf(found) });
  }

  #readNameless(found: FirstMessage): void {
    this.#isNameless = found === "more";
    if (found === "other") this.#unverified();
    if (found === "whole") this.#said("sni", {});
  }

  #readHead(bytes: Uint8Array, start: number, end: number): void {
    const head = this.#head ??= new HttpHeadReader(), found = head.read(bytes, start, end), { hosts, target } = head;
    if (found === "more") return;
    if (found === "other") return this.#unverified();
    const names = hosts.map((host) => host?.isName ? host.name : null);
    if (target === null) return this.#said("host", { names, fault: faultOf(found) });
    const isSame = hosts.every((host) => host?.name === target.name && (host.port ?? target.port) === target.port);
    this.#said("host", {
      names,
      target,
      fault: faultOf(found) ?? (isSame ? null : "has a Host beside another target"),
    });
  }

  /** A stream that says no name. */
  #unverified(): void {
    const { strict, look } = this.#judging;
    if (!strict || look === "watch") return this.#pass(null);
    const words = 'it says no name that could be verified, and "--names strict" is set; "unverified" behind the rule ' +
      "lets it pass";
    this.#refuse({ cause: "unverified", name: null, rule: null, words });
  }

  #said(via: NameVia, { names = [], target = null, ech = false, fault = null }: Partial<Said>): void {
    const said = { via, names, target, ech, fault };
    if (this.#judging.look === "verify") this.#verify(said);
    else this.#watch(said);
  }

  /** Refuses a name that is denied. */
  #watch(said: Said): void {
    const { via, names, target } = said, cause = `${via}Refused` as const;
    const wanted = names.map((name) => ({ name, port: this.#judging.port }));
    if (target?.isName) wanted.push(target);
    for (const { name, port } of wanted) {
      const rule = name === null ? null : this.#judging.list().name("tcp", name, port);
      if (rule?.verdict !== "deny") continue;
      return this.#refuse({ cause, name, rule, words: `its ${SAYS[via]} names ${name}, which a rule denies` });
    }
    const one = this.#nameOf(said), fault = this.#faultOf(said, one);
    if (this.#judging.look === "watch" || fault === null) return this.#pass(fault === null ? one : null);
    this.#refuse({ cause, name: one?.name ?? null, rule: null, words: `its ${SAYS[via]} ${fault}` });
  }

  /** Passes a name that is allowed. */
  #verify(said: Said): void {
    const { via, target } = said, cause = `${via}Refused` as const, one = this.#nameOf(said);
    const fault = this.#faultOf(said, one), rule = one === null ? null : this.#ruleFor(target, one);
    const refuse = (what: string, rule: Rule | null = null) => {
      const refusal = { cause, name: one?.name ?? null, rule, words: `its ${SAYS[via]} ${what}` };
      this.#refuse(refusal, fault === null ? one : null);
    };
    if (one !== null && rule === null) {
      refuse(`names ${one.name}, which no rule allows; --allow ${text(one.name)}:${one.port} would`);
    } else if (rule?.verdict === "deny") refuse(`names ${one!.name}, which a rule denies`, rule);
    else if (fault !== null) refuse(fault);
    else this.#pass(one);
  }

  /** The one name that is said, if nothing is wrong with how. */
  #nameOf({ via, names, target, ech, fault }: Said): SaidName | null {
    const name = target?.name ?? (names.length === 1 ? names[0]! : null);
    return fault !== null || name === null ? null : { via, name, port: target?.port ?? this.#judging.port, ech };
  }

  /** What keeps the name from being verified, whatever the rules say. */
  #faultOf({ names, target, ech, fault }: Said, one: SaidName | null): string | null {
    if (fault !== null) return fault;
    if (target === null && names.length > 1) return "names several hosts";
    if (one === null) return 'names no host by name; "unverified" behind the rule lets it pass';
    if (ech && this.#judging.strict) return 'has Encrypted Client Hello, and "--names strict" is set';
    const isMeant = target !== null || this.#judging.isBound(one.name);
    return isMeant ? null : `names ${one.name}, which is not what led to this address`;
  }

  #ruleFor(target: HttpTarget | null, { name, port }: SaidName): Rule | null {
    if (target === null) return this.#judging.ruleOf(name);
    const list = this.#judging.list();
    if (target.isName) return list.name("tcp", name, port);
    const address = IpAddress.tryParse(name);
    return address === undefined ? null : list.address("tcp", address, address, port);
  }

  #pass(said: SaidName | null): void {
    this.#end("pass");
    if (said !== null) this.#judging.listener.nameVerified(said);
  }

  /** Refuses; who only reports hears of the name that would have been verified otherwise. */
  #refuse(refusal: NameRefusal, said: SaidName | null = null): void {
    const { reports, listener } = this.#judging;
    if (!reports) this.endsAs = refusal.cause;
    this.#end(reports ? "pass" : "refuse");
    listener.nameRefused(refusal);
    if (reports && said !== null) listener.nameVerified(said);
  }

  #end(verdict: FirstBytesVerdict): void {
    this.#verdict = verdict;
    this.#hello = this.#head = null;
  }
}

const SAYS: Readonly<Record<NameVia, string>> = { sni: "TLS ClientHello", host: "HTTP request" };

function faultOf(found: FirstMessage): string | null {
  if (found === "malformed") return "is malformed";
  return found === "tooLarge" ? "is too large" : null;
}

/** A host as a rule says it. */
function text(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
