/** One line of the bench's table. */
export interface Row {
  readonly what: string;
  readonly ours: number;
  /** The same of the floor, measured in turns with ours. */
  readonly floor?: number;
  readonly unit: string;
  readonly ratio?: number;
  readonly bar: string;
  readonly holds: boolean;
}

export function table(rows: readonly Row[]): string {
  const cells = rows.map(({ what, ours, floor, unit, ratio, bar, holds }) => [
    what,
    `${short(ours)} ${unit}`,
    floor === undefined ? '' : `${short(floor)} ${unit}`,
    ratio === undefined ? '' : ratio.toFixed(2),
    bar,
    bar === '' ? '' : holds ? 'holds' : 'DOES NOT HOLD',
  ]);
  const all = [['', 'ours', 'floor', 'ratio', 'bar', ''], ...cells];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
