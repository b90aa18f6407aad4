/**
 * What else a DHCP server tells its client, as users write it: `NAME=VALUE`.
 *
 * The names are those of RFC 2132, of the option or of the message's field, and that of RFC 3397:
 *
 * | name               | value                                                                          |
 * | ------------------ | ------------------------------------------------------------------------------ |
 * | `bootfile-name`    | what the client boots: the field `file`, 127 bytes at most, and option 67      |
 * | `next-server`      | IPv4 address of the server that has it, `siaddr`; default the gateway          |
 * | `tftp-server-name` | that server's name: the field `sname`, 63 bytes at most, and option 66         |
 * | `host-name`        | the client's name, option 12                                                   |
 * | `domain-name`      | the domain that it is in, option 15                                            |
 * | `domain-search`    | where names without dots are looked for, domains joined by commas, option 119  |
 *
 * @module
 */
import { parseIpv4 } from "../../net/wire/address.ts";
import { encodeDomainSearch } from "../../net/wire/domain_search.ts";

/** What else is told, read. */
export interface DhcpExtras {
  /** The boot file's name. */
  readonly bootFile?: string;
  /** The next server's address as a 32-bit number. */
  readonly nextServer?: number;
  /** The next server's name. */
  readonly serverName?: string;
  /** The client's name. */
  readonly hostName?: string;
  /** The client's domain. */
  readonly domainName?: string;
  /** Domains in which names without dots are looked for. */
  readonly domainSearch?: readonly string[];
}

/** One option, and its name. */
export type NamedExtras = DhcpExtras & { readonly name: DhcpOptionName };

/** The names that there are. */
export const DHCP_OPTION_NAMES = [
  "bootfile-name",
  "next-server",
  "tftp-server-name",
  "host-name",
  "domain-name",
  "domain-search",
] as const;

/** A name. */
export type DhcpOptionName = typeof DHCP_OPTION_NAMES[number];

const LONGEST_BOOT_FILE = 127;
const LONGEST_SERVER_NAME = 63;
const LONGEST_DOMAIN = 253;
/** What one option holds. */
const LONGEST_SEARCH = 255;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** Reads options that belong together. Throws a `TypeError` that says what would be right. */
export function parseDhcpOptions(texts: readonly string[]): DhcpExtras {
  const extras: Record<string, unknown> = {}, seen = new Set<string>();
  for (const text of texts) {
    const { name, ...extra } = readOption(text);
    if (seen.has(name)) throw new TypeError(`Cannot use DHCP option ${text}: ${name} is given already, once is enough`);
    seen.add(name);
    Object.assign(extras, extra);
  }
  return extras;
}

function readOption(text: string): NamedExtras {
  try {
    return parseDhcpOption(text);
  } catch (error) {
    throw new TypeError(`Cannot use DHCP option ${text}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Reads one option. Throws a `TypeError` whose message says what would be right. */
export function parseDhcpOption(text: string): NamedExtras {
  const equals = text.indexOf("="), name = text.slice(0, Math.max(0, equals)), value = text.slice(equals + 1);
  if (equals < 0) throw new TypeError("it is NAME=VALUE, such as host-name=vm1");
  if (!isName(name)) throw new TypeError(`its name is one of ${DHCP_OPTION_NAMES.join(", ")}`);
  switch (name) {
    case "bootfile-name":
      if (!isText(value, LONGEST_BOOT_FILE)) {
        throw new TypeError(`it is 1 to ${LONGEST_BOOT_FILE} bytes, such as pxelinux.0`);
      }
      return { name, bootFile: value };
    case "tftp-server-name":
      if (!isText(value, LONGEST_SERVER_NAME)) {
        throw new TypeError(`it is 1 to ${LONGEST_SERVER_NAME} bytes, such as boot1`);
      }
      return { name, serverName: value };
    case "next-server": {
      const address = tryIpv4(value);
      if (address === undefined) throw new TypeError("it is an IPv4 address, such as 10.0.2.2");
      return { name, nextServer: address };
    }
    case "host-name":
      if (!isDomain(value)) throw new TypeError("it is a name of letters, digits and hyphens, such as vm1");
      return { name, hostName: value };
    case "domain-name":
      if (!isDomain(value)) throw new TypeError("it is a domain, such as example.com");
      return { name, domainName: value };
    case "domain-search": {
      const domains = value.split(",");
      if (!domains.every(isDomain)) {
        throw new TypeError("it is domains joined by commas, such as example.com,example.net");
      }
      if (encodeDomainSearch(domains).length > LONGEST_SEARCH) {
        throw new TypeError(`it is more than an option holds, ${LONGEST_SEARCH} bytes`);
      }
      return { name, domainSearch: domains };
    }
  }
}

function isName(name: string): name is DhcpOptionName {
  return (DHCP_OPTION_NAMES as readonly string[]).includes(name);
}

/** Whether it has from 1 to `most` bytes and no control characters. */
function isText(text: string, most: number): boolean {
  // deno-lint-ignore no-control-regex
  return text !== "" && !/[\0-\x1f\x7f]/.test(text) && new TextEncoder().encode(text).length <= most;
}

function isDomain(text: string): boolean {
  return text.length <= LONGEST_DOMAIN && text.split(".").every((label) => LABEL.test(label));
}

function tryIpv4(text: string): number | undefined {
  try {
    return parseIpv4(text);
  } catch {
    return undefined;
  }
}
