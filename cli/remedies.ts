/**
 * From what went wrong on the way into the namespace to one line for the user: what failed, why, and what helps.
 *
 * @module
 */

/** How far `hawser run` got and what was heard. */
export interface SetupFailure {
  /** The last step announced by the script; `unshare` before the first. */
  readonly step: string;
  /** What the tools complained about, line by line. */
  readonly complaints: readonly string[];
  /** Whether it was tried with a user namespace. */
  readonly asMappedRoot: boolean;
  /** What `DIAGNOSE` found, by name. */
  readonly facts: ReadonlyMap<string, string>;
}

/** One sentence or two for the user, without a line break. */
export function describeSetupFailure(failure: SetupFailure): string {
  const { action, remedy } = explain(failure);
  const complaint = failure.complaints.join("; ").replaceAll(/\s+/g, " ").trim();
  return `cannot ${action}: ${complaint === "" ? "" : `${complaint}: `}${remedy}`;
}

function explain(failure: SetupFailure): { action: string; remedy: string } {
  const { facts } = failure;
  switch (failure.step) {
    case "unshare":
      return { action: "create a network namespace", remedy: namespaceRemedy(facts) };
    case "tun":
      return { action: "open /dev/net/tun", remedy: tunRemedy(facts) };
    case "address":
      return { action: "configure the network namespace", remedy: addressRemedy(failure) };
    case "resolver":
      return {
        action: "set the resolver",
        remedy: facts.has("mount") ? missing("mount", "util-linux") : "mounting must be allowed in a mount namespace",
      };
    case "proc":
      return { action: "mount a /proc for the command", remedy: procRemedy(facts) };
    case "covers":
      return {
        action: "cover what the command is not to reach",
        remedy: coversRemedy(facts),
      };
    case "inner":
    case "map":
      return { action: "create a user namespace for the command", remedy: namespaceRemedy(facts) };
    default:
      return { action: `start the command (at step "${failure.step}")`, remedy: "nothing was started" };
  }
}

function procRemedy(facts: ReadonlyMap<string, string>): string {
  if (facts.has("mount")) return missing("mount", "util-linux");
  return "in a container parts of /proc are hidden, which forbids a new one; show them (podman --security-opt unmask=ALL, " +
    "docker --security-opt systempaths=unconfined), or run without --isolate";
}

function coversRemedy(facts: ReadonlyMap<string, string>): string {
  if (facts.has("mount")) return missing("mount", "util-linux");
  return 'this needs "mount" of util-linux 2.34 or newer, and that mounting is allowed; or run without --isolate';
}

function namespaceRemedy(facts: ReadonlyMap<string, string>): string {
  if (facts.has("unshare")) return missing("unshare", "util-linux");
  if (facts.has("nsenter")) return missing("nsenter", "util-linux");
  if (facts.get("user/max_user_namespaces") === "0") {
    return 'user namespaces are off, allow them as root with "sysctl user.max_user_namespaces=10000", or run as root';
  }
  if (facts.get("kernel/unprivileged_userns_clone") === "0") {
    return 'user namespaces are off, allow them as root with "sysctl kernel.unprivileged_userns_clone=1", or run as root';
  }
  if (facts.get("kernel/apparmor_restrict_unprivileged_userns") === "1") return apparmorRemedy();
  return "neither as root nor in a user namespace was it allowed, run as root with CAP_SYS_ADMIN, or in a container " +
    "without the seccomp profile that forbids unshare";
}

function tunRemedy(facts: ReadonlyMap<string, string>): string {
  if (facts.get("tun") === "absent") {
    return 'there is none, load the driver as root with "modprobe tun", or pass --device /dev/net/tun to the container';
  }
  return 'let this user read and write it, as root with "chmod 666 /dev/net/tun"';
}

function addressRemedy({ asMappedRoot, facts }: SetupFailure): string {
  if (facts.has("ip")) return missing("ip", "iproute2");
  if (asMappedRoot && facts.get("kernel/apparmor_restrict_unprivileged_userns") === "1") return apparmorRemedy();
  return "the kernel must allow interfaces to be configured in a network namespace (CAP_NET_ADMIN)";
}

function apparmorRemedy(): string {
  return "AppArmor restricts user namespaces, allow them as root with " +
    '"sysctl kernel.apparmor_restrict_unprivileged_userns=0", or run as root';
}

function missing(command: string, debianPackage: string): string {
  return `install "${command}" (Debian package ${debianPackage})`;
}

/** Reads the `NAME=VALUE` lines of `DIAGNOSE`. */
export function readFacts(text: string): Map<string, string> {
  const facts = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) facts.set(line.slice(0, equals), line.slice(equals + 1).trim());
  }
  return facts;
}
