/**
 * The rules of a gateway that runs: which they are, and others in their place.
 *
 * The whole list is replaced at once, in one turn: what begins after that is judged by the new one, and so is every
 * flow and every destination of datagrams that lives. While a list is read the old one is in force; if it cannot be
 * followed, the old one stays. Lists are put in force in the order in which they were given.
 *
 * @module
 */
import type { Rule } from "../nat/rules/rule.ts";
import type { RuleList } from "../nat/rules/rule_list.ts";
import { readRuleList, type ReadRules, type RuleOptions } from "./read.ts";

/** What has rules. */
export interface RulesHolder {
  /** The list in force at the beginning, as it was read. */
  readonly read: Pick<ReadRules, "list" | "digest">;
  /** Where names are asked for, as `GatewayOptions.dns` has it. */
  readonly dns?: string | undefined;
  /** Puts a list in force. Returns how many flows ended by it. */
  use(list: RuleList, options: { readonly keepFlows: boolean }): number;
  /** Is told that a list is in force, and of what a user should know of it. */
  changed(change: { readonly from: string; readonly to: string; readonly ended: number }, read: ReadRules): void;
}

/** Rules in the place of others, as `Gateway.start` takes them. */
export type OtherRules = Pick<RuleOptions, "allow" | "deny" | "rules">;

/** The rules of a gateway. */
export class GatewayRules {
  #holder: RulesHolder;
  #now: Pick<ReadRules, "list" | "digest">;
  #before: Promise<unknown> = Promise.resolve();

  /** Those of a gateway that begins. */
  constructor(holder: RulesHolder) {
    this.#holder = holder;
    this.#now = holder.read;
  }

  /** The SHA-256 of the normalised list, in hexadecimal digits. */
  get digest(): string {
    return this.#now.digest;
  }

  /** The rules that are in force. */
  list(): readonly Rule[] {
    return this.#now.list.rules;
  }

  /**
   * Puts other rules in the place of all that are in force, and returns their digest. Flows that they do not allow end,
   * unless `keepFlows`. Rejects with a `RuleError` for rules that cannot be followed; then nothing has changed.
   */
  replace(rules: OtherRules, { keepFlows = false }: { readonly keepFlows?: boolean } = {}): Promise<string> {
    const { dns } = this.#holder, read = readRuleList({ ...rules, ...(dns !== undefined && { dns }) });
    // One that cannot be followed waits too, so that nobody behind it overtakes who is before it.
    const done = Promise.allSettled([read, this.#before]).then(([made]) => {
      if (made.status === "rejected") throw made.reason;
      return this.#use(made.value, keepFlows);
    });
    this.#before = Promise.allSettled([done]);
    return done;
  }

  #use(read: ReadRules, keepFlows: boolean): string {
    const from = this.#now.digest, { list, digest: to } = read;
    this.#now = read;
    const ended = this.#holder.use(list, { keepFlows });
    this.#holder.changed({ from, to, ended }, read);
    return to;
  }
}
