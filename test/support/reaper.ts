import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Reads "+ PID", "- PID" and "d FOLDER" lines; when the test process is gone, however it went, the pipe ends: then it
// kills what is left and removes the folders.
const SCRIPT = `
trap '' INT TERM HUP
pids='' folders=''
while read -r sign what; do
  case $sign in
    +) pids="$pids $what" ;;
    d) folders="$folders
$what" ;;
    -) rest=''; for pid in $pids; do [ "$pid" = "$what" ] || rest="$rest $pid"; done; pids=$rest ;;
  esac
done
[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
set -f; IFS='
'
[ -z "$folders" ] || rm -rf -- $folders`;

let reaper: ChildProcess | undefined;

function tell(line: string): void {
  if (reaper === undefined) {
    // A group of its own, so that Ctrl-C in the terminal reaches it only through the end of the pipe.
    reaper = spawn('sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    reaper.unref();
    const pipe = reaper.stdin as (typeof reaper.stdin & { unref?: () => void }) | null;
    pipe?.unref?.();
  }
  reaper.stdin?.write(`${line}\n`);
}

/** Ties a child to this test process: it is killed when this one ends, even by SIGKILL. */
export function tie(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  tell(`+ ${pid}`);
  child.once('exit', () => tell(`- ${pid}`));
}

/** A new folder that is removed when this test process ends. */
export function temporaryFolder(name = 'sluice'): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  tell(`d ${folder}`);
  return folder;
}
