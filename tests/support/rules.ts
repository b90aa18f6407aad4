/**
 * Rules of a scripted gateway, with those of users as texts.
 *
 * @module
 */
import { createRuleList, type RuleOptions } from "../../rules/read.ts";
import type { TranslationRules } from "../../nat/rules/translate.ts";
import { createTranslationRules, type TranslationOptions } from "../../nat/rules/translation_options.ts";

/** Options of translation, and rules as texts. */
export type ScriptRules = TranslationOptions & RuleOptions;

/** The rules that these make. */
export function scriptRules(options: ScriptRules = {}): TranslationRules {
  return createTranslationRules({ egress: createRuleList(options), ...options });
}
