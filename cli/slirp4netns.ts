/**
 * `hawser slirp4netns`, and a file of Hawser's that is called `slirp4netns`: Hawser in place of slirp4netns 1.2, for
 * Docker rootless, rootlesskit, nerdctl, podman and buildah.
 *
 * A thin translation: the command line becomes that of `hawser serve` for one TAP in a namespace
 * (`slirp4netns_options.ts`); beside it there are the socket on which forwards are added (`slirp4netns_api.ts`) and
 * what slirp4netns prints. What fails is one line on stderr and exit code 1.
 *
 * podman starts it inside its user and mount namespaces, as root there, in the network namespace of the host; so
 * nothing here may need to come back from a namespace. See `netns_tun.ts`.
 *
 * @module
 */
import { addressesOfInterface } from "../net/linux/interface_addresses.ts";
import { cString, libc } from "../net/linux/libc.ts";
import { parseOutbound } from "../host/outbound.ts";
import type { GatewayRunner } from "./gateway_runner.ts";
import { withRules } from "./gateway_settings.ts";
import { writeStderr, writeStdout } from "./log.ts";
import { keepOnly, neededByServe } from "./permissions.ts";
import {
  parseSlirp4netns,
  SLIRP4NETNS,
  slirp4netnsBanner,
  type Slirp4netnsLine,
  type Slirp4netnsOptions,
} from "./slirp4netns_options.ts";
import { UsageError } from "./usage_error.ts";

const FAILED = 1;

/** Does what the words after `slirp4netns` say. Resolves to the exit code. */
export async function slirp4netns(args: readonly string[]): Promise<number> {
  try {
    const line: Slirp4netnsLine = parseSlirp4netns(args);
    if ("text" in line) {
      writeStdout(line.text);
      return 0;
    }
    return await follow(line.options);
  } catch (error) {
    writeStderr(`${SLIRP4NETNS}: ${error instanceof Error ? error.message : error}\n`);
    if (error instanceof UsageError || error instanceof Error) return FAILED;
    throw error;
  }
}

async function follow(options: Slirp4netnsOptions): Promise<number> {
  const { serve: told, tap, isConfined, apiSocket, usernsPath, guest } = options;
  if (Deno.build.os !== "linux") throw new Error(`this needs Linux, not ${Deno.build.os}`);
  if (usernsPath !== undefined && libc().access(cString(usernsPath), 0) !== 0) {
    throw new Error(`userns path doesn't exist: ${usernsPath}`);
  }
  const serving = await withRules(SLIRP4NETNS, { ...told, outbound: outboundOf(options) });
  keepOnly([...neededByServe(serving), ...(apiSocket === undefined ? [] : ["net", "write"] as const)]);
  const { serve } = await import("./serve.ts");
  return await serve(serving, {
    tap,
    isConfined,
    quiet: "links",
    begin: async (runner: GatewayRunner) => {
      const begun = new AsyncDisposableStack();
      if (apiSocket !== undefined) {
        const { ApiSocket, Slirp4netnsApi } = await import("./slirp4netns_api.ts");
        begun.use(new ApiSocket(apiSocket, new Slirp4netnsApi((spec) => runner.gateway!.forwards.add(spec), guest)));
      }
      writeStdout(slirp4netnsBanner(options));
      return { end: begun };
    },
  });
}

/** From where flows go out, as addresses: an interface that is named for one family says nothing of the other. */
function outboundOf({ outbound: { ipv4, ipv6 } }: Slirp4netnsOptions): string[] {
  return [addressFor("--outbound-addr", ipv4, true), addressFor("--outbound-addr6", ipv6, false)].flat();
}

function addressFor(option: string, text: string | undefined, isIpv4: boolean): string[] {
  if (text === undefined) return [];
  const named = parseOutbound(text);
  if (typeof named !== "string") return [text];
  const found = addressesOfInterface(named).find((address) => address.isIpv4 === isIpv4);
  if (found !== undefined) return [`${found}`];
  throw new Error(`${option} ${text}: there is no interface of that name with an IPv${isIpv4 ? 4 : 6} address`);
}
