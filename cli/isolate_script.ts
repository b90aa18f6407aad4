/**
 * What runs between Hawser and COMMAND under `run --isolate`: shell scripts for any POSIX `sh`, and util-linux.
 *
 * ```text
 * process              users   mounts   processes  IPC    network
 * Hawser               host's  host's   host's     host's host's
 *   supervisor         outer   outer    host's     own    host's
 *     init             outer   outer    own, 1     own    host's
 *     place            inner   inner    own        own    own
 *   shell that waits   outer   host's   host's     own    host's
 *     COMMAND          inner   inner    own        own    own
 * ```
 *
 * **Outer and inner.** The supervisor makes the outer namespaces: a mount namespace with a /proc of the new PID
 * namespace, and covers over what COMMAND must not reach (`isolate_covers.ts`). COMMAND gets a user and a mount
 * namespace inside these. To the kernel a mount that came from a more privileged namespace is locked: inner root cannot
 * unmount or move it or look under it, nor in any namespace that it makes. An ordinary user's outer user namespace is
 * made by `unshare -r`. For real root it is the host's; its COMMAND gets an inner one that maps every number to itself,
 * so that root stays root for files, but has none of root's capabilities outside. Only somebody outside can write such
 * a map: Hawser, when it hears `hawser:map PID`. The network namespace belongs to the inner user namespace, so COMMAND
 * configures it as it does without `--isolate`.
 *
 * **Processes.** The supervisor stays in the host's PID namespace, where COMMAND cannot name it, in a session of its
 * own, where the terminal's signals do not come. Its first child is init, which reaps orphans and does nothing else.
 * Then comes a shell that sets the network up (`SETUP`) and leaves a sleeping process as the place for COMMAND to
 * enter.
 *
 * **COMMAND** is started by Hawser, as without `--isolate`: with the bytes, descriptors, limits and signals of Hawser's
 * caller. As a process cannot enter a PID namespace, but only its children can, a shell stands in between, waits, and
 * returns the exit code. COMMAND is not PID 1, for which the kernel would ignore every signal without a handler. It has
 * Hawser's terminal, process group and stdin, so that the terminal's signals and job control reach it by themselves.
 *
 * **The end.** The kernel ends a PID namespace with its init. The supervisor ends init as soon as Hawser closes its
 * socket or dies, waits until the kernel is done, and ends, which is the end of the socket for Hawser. The kernel kills
 * init if the supervisor dies, and the supervisor if Hawser dies (PR_SET_PDEATHSIG, which starting a program keeps).
 * Init asks once whether the supervisor died before that was set.
 *
 * **Descriptors** and lines are those of `namespace_script.ts`, and 8 is the host's /proc, in which a process finds the
 * number that it has outside. Nothing inside has the socket any more when COMMAND starts.
 *
 * @module
 */
import { SETUP } from "./namespace_script.ts";

/** `sh -c INIT hawser SUPERVISOR`. */
const INIT = `
read -r pid name state rest <"/proc/self/fd/8/$1/stat" && [ "$state" != Z ] || exit
exec 8<&-
while :; do sleep 2147483647; done
`;

/** `sh -c MAP hawser UNSHARE ARG…`, in a user namespace without a map: waits for one. */
const MAP = `
read -r pid rest </proc/self/fd/8/self/stat
echo "hawser:map $pid"
read -r answer || exit 125
exec "$@"
`;

/** `sh -c INSIDE hawser ADDRESS/PREFIX GATEWAY MTU RESOLVER ADDRESS6/PREFIX`. */
const INSIDE = `
read -r pid rest </proc/self/fd/8/self/stat
echo "hawser:tun $pid"
${SETUP}
(
  read -r pid rest </proc/self/fd/8/self/stat
  echo "hawser:place $pid"
  echo hawser:run
  exec sleep 2147483647 8<&- </dev/null >/dev/null 2>&1
) &
`;

/**
 * `sh -c SUPERVISE hawser SETPRIV MOUNT UNSHARE INIT MAP TABLE… -- INSIDE hawser ARG…`; without a MAP, inner root is
 * outer root and nobody else is there. The tools have paths, because the shell of busybox would take its own.
 */
const SUPERVISE = `
setpriv=$1 mount=$2 unshare=$3
shift 3
exec 8</proc
"$setpriv" --pdeathsig KILL -- sh -c "$1" hawser "$$" </dev/null >/dev/null 2>&1 &
init=$!
end() {
  exec 2>/dev/null
  kill -KILL "$init"
  wait "$init"
  exit "$1"
}
map=$2
shift 2
(
  echo hawser:proc
  "$mount" -t proc -o nosuid,nodev,noexec hawser /proc || exit 125
  echo hawser:covers
  umask 077
  "$mount" -t tmpfs -o mode=700 hawser /tmp || exit 125
  while [ "$1" != -- ]; do
    printf '%s\\n' "$1"
    shift
  done >/tmp/table
  exec 7</tmp/table
  umount -l /tmp || exit 125
  answers=$("$mount" -v -c -a -T /proc/self/fd/7 2>&1)
  [ "$?" -lt 126 ] || exit 125
  ! printf '%s\\n' "$answers" | grep -v -e '^$' -e ': successfully mounted' -e '[^. ] *: already mounted' \\
    -e 'mount point does not exist' -e 'dmesg(1)'
) || end 125
while [ "$1" != -- ]; do shift; done
shift
folder=$(pwd -P)
(cd "$folder") 2>/dev/null || {
  echo hawser:strayed
  folder=/
}
echo hawser:inner
if [ "$map" ]; then
  "$unshare" -U -- sh -c "$map" hawser "$unshare" -m -n --wd "$folder" -- sh -c "$@"
else
  "$unshare" -r -m -n --wd "$folder" -- sh -c "$@"
fi || end 125
while read -r line; do :; done
end 0
`;

/**
 * `sh -c WAIT hawser DESCRIPTOR PROGRAM ARG…`: starts a program, with every signal as this shell was given it, and
 * outlives the signals that the terminal sends to both. DESCRIPTOR is one that nobody uses, for COMMAND's stderr while
 * the shell keeps what it would say of COMMAND's end to itself.
 */
export const WAIT = `
trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE PWR VTALRM PROF XCPU
fd=$1
shift
[ "$fd" ] && eval "exec $fd>&2 2>/dev/null"
(
  [ "$fd" ] && eval "exec 2>&$fd $fd>&-"
  exec "$@"
)
exit "$?"
`;

/** What the supervisor is to do. */
export interface SupervisorWords {
  /** Where `setpriv`, `mount` and `unshare` of util-linux are. */
  readonly tools: readonly [setpriv: string, mount: string, unshare: string];
  /** Whether the outer namespaces need a user namespace of their own: for everybody but real root. */
  readonly asMappedRoot: boolean;
  /** What is mounted in the outer namespace beside /proc: pieces of a table in the form of fstab(5). */
  readonly tables: readonly string[];
  /** The name and the arguments of `SETUP`. */
  readonly words: readonly string[];
}

/** The arguments of the `unshare` that becomes the supervisor. */
export function supervisorWords({ tools, asMappedRoot, tables, words }: SupervisorWords): string[] {
  const outer = [...(asMappedRoot ? ["-r"] : []), "-m", "-i", "-p", "--"];
  const supervisor = ["sh", "-c", SUPERVISE, "hawser", ...tools, INIT, asMappedRoot ? "" : MAP, ...tables, "--"];
  return [...outer, ...supervisor, INSIDE, ...words];
}
