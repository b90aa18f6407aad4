/**
 * Whether a command line of pasta goes to the background, told without reading the rest of it.
 *
 * The process that goes there reads and checks the command line. Its launcher does nothing but wait, and is there in
 * half the time if it loads no more than it needs. So here stand the words that callers use, and nothing of what they
 * mean. A word that does not stand here, or that asks for the foreground, is no certainty, and then the command line is
 * read as a whole.
 *
 * @module
 */

/** Options with a value. */
const VALUED: readonly string[] = [
  ...["-I", "-P", "-m", "-a", "-n", "-g", "-i", "-o", "-D", "-t", "-u", "-T", "-U", "-l"],
  ...["--ns-ifname", "--pid", "--mtu", "--address", "--netmask", "--gateway", "--interface", "--outbound", "--dns"],
  ...["--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns", "--log-file", "--dns-forward", "--dns-host"],
  ...["--map-guest-addr", "--map-host-loopback", "--netns", "--userns", "--ns-mac-addr"],
];
/** Options without one. */
const FLAGS: readonly string[] = [
  ...["-4", "-6", "-q", "-e", "--ipv4-only", "--ipv6-only", "--quiet", "--stderr", "--config-net", "--no-map-gw"],
  ...["--netns-only", "--no-netns-quit"],
];
/** The options that are told apart here, for a test that compares them with the table. */
export const TOLD_APART = { valued: VALUED, flags: FLAGS } as const;

/** Whether these words are certainly for a namespace that is there, without an option that asks for the foreground. */
export function goesToBackground(words: readonly string[]): boolean {
  let hasNetns = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!, equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const name = equals < 0 ? word : word.slice(0, equals);
    if (VALUED.includes(name)) {
      hasNetns ||= name === "--netns";
      if (equals < 0 && ++i === words.length) return false;
    } else if (equals >= 0 || !FLAGS.includes(name)) {
      return !hasNetns && i === words.length - 1 && /^\d+$/.test(word);
    }
  }
  return hasNetns;
}
