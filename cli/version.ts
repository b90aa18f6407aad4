/**
 * The versions: Hawser's, and the Deno it needs.
 *
 * @module
 */
import config from "../deno.json" with { type: "json" };

/** Hawser's version. */
export const VERSION: string = config.version;
/** The least Deno that has everything Hawser uses. */
export const LEAST_DENO = "2.9.0";

/** A sentence for the user of a Deno that is too old, or `undefined`. */
export function denoVersionProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const [leastMajor = 0, leastMinor = 0] = LEAST_DENO.split(".").map(Number);
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return undefined;
  return `Deno ${version} is too old, Hawser needs ${LEAST_DENO} or newer: run "deno upgrade" or use "npx -y deno@2"`;
}
