import { useEffect, useId, useRef, useState } from "preact/hooks";

import type { Sample } from "./api";
import { usePreferences } from "./preferences";
import { format } from "./when";

export interface Series {
  name: string;
  /** null where nothing was measured. */
  value: (s: Sample) => number | null;
}

const height = 150;
const inset = { top: 8, right: 8, bottom: 20, left: 44 };

/** Plot draws series over the time. Arrow keys walk through the moments, and a table holds the same in words. */
export function Plot({ title, unit, samples, series, dots = false }: { title: string; unit: string; samples: Sample[]; series: Series[]; dots?: boolean }) {
  const { clock } = usePreferences();
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(480);
  // at is the index of the moment that is looked at; -1 for none.
  const [at, setAt] = useState(-1);
  const id = useId();
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.floor(entry!.contentRect.width))));
    watch.observe(frame.current!);
    return () => watch.disconnect();
  }, []);

  const first = samples[0]?.at ?? 0;
  const last = samples.at(-1)?.at ?? 1;
  const top = niceTop(Math.max(0, ...samples.flatMap((s) => series.map((one) => one.value(s) ?? 0))));
  const x = (t: number) => inset.left + ((t - first) / Math.max(1, last - first)) * (width - inset.left - inset.right);
  const y = (v: number) => height - inset.bottom - (v / top) * (height - inset.top - inset.bottom);
  const marked = samples[at];
  const looked = marked ?? samples.at(-1);
  const move = (e: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 };
    if (!(e.key in steps) || samples.length === 0) return;
    e.preventDefault();
    setAt((was) => Math.min(samples.length - 1, Math.max(0, (was < 0 ? samples.length - 1 : was) + steps[e.key]!)));
  };
  const point = (e: PointerEvent) => {
    const box = frame.current!.getBoundingClientRect();
    const part = (e.clientX - box.left - inset.left) / (width - inset.left - inset.right);
    setAt(samples.length ? Math.min(samples.length - 1, Math.max(0, Math.round(part * (samples.length - 1)))) : -1);
  };
  const tick = (t: number) => (last - first < 180_000 ? format(new Date(t), clock, "time").slice(0, 8) : format(new Date(t), clock, "minute"));
  const words = (s: Sample) => `${format(new Date(s.at), clock, "minute")}: ${series.map((one) => `${one.name} ${text(one.value(s))}`).join(", ")}`;
  return (
    <section class="panel plot" aria-labelledby={id}>
      <div class="panel-head">
        <h2 id={id}>{title} <span class="unit">{unit}</span></h2>
        <ul class="legend">
          {series.map((one, i) => <li key={one.name}><span class={`swatch swatch-${i}`} />{one.name} <b>{text(looked ? one.value(looked) : null)}</b></li>)}
        </ul>
      </div>
      <div ref={frame} class="plot-frame" tabIndex={0} role="img" aria-label={`${title}, ${unit}. ${looked ? words(looked) : "Nothing was measured yet."} Arrow keys move.`}
        onKeyDown={move} onPointerMove={point} onPointerLeave={() => setAt(-1)} onBlur={() => setAt(-1)}>
        <svg width={width} height={height} aria-hidden="true">
          {[0, top / 2, top].map((v) => (
            <g key={v}>
              <line class="grid" x1={inset.left} x2={width - inset.right} y1={y(v)} y2={y(v)} />
              <text class="tick" x={inset.left - 6} y={y(v) + 4} text-anchor="end">{text(v)}</text>
            </g>
          ))}
          {samples.length > 1 && [first, (first + last) / 2, last].map((t, i) => (
            <text key={i} class="tick" x={x(t)} y={height - 4} text-anchor={["start", "middle", "end"][i]}>{tick(t)}</text>
          ))}
          {series.map((one, i) => <path key={one.name} class={`line line-${i}`} d={path(samples, one, x, y)} />)}
          {dots && series.map((one, i) => samples.map((s) => {
            const v = one.value(s);
            return v === null ? null : <circle key={one.name + s.at} class={`dot dot-${i}`} cx={x(s.at)} cy={y(v)} r={2.2} />;
          }))}
          {marked && <line class="cursor" x1={x(marked.at)} x2={x(marked.at)} y1={inset.top} y2={height - inset.bottom} />}
        </svg>
        {samples.length === 0 && <p class="plot-empty">The first sample comes within five seconds.</p>}
      </div>
      {marked && <p class="visually-hidden" role="status">{words(marked)}</p>}
      <details class="plot-table">
        <summary>As a table</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label={`${title} as a table`}>
          <table>
            <caption class="visually-hidden">{title}, {unit}, the newest first</caption>
            <thead><tr><th scope="col">Time</th>{series.map((one) => <th scope="col" class="num" key={one.name}>{one.name}</th>)}</tr></thead>
            <tbody>
              {samples.slice(-60).reverse().map((s) => (
                <tr key={s.at}><th scope="row"><time dateTime={new Date(s.at).toISOString()}>{format(new Date(s.at), clock, "time").slice(0, 8)}</time></th>{series.map((one) => <td class="num" key={one.name}>{text(one.value(s))}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}

/** path breaks the line where nothing was measured. */
function path(samples: Sample[], one: Series, x: (t: number) => number, y: (v: number) => number): string {
  let d = "";
  let broken = true;
  for (const s of samples) {
    const v = one.value(s);
    if (v !== null) d += `${broken ? "M" : "L"}${x(s.at).toFixed(1)} ${y(v).toFixed(1)}`;
    broken = v === null;
  }
  return d;
}

/** niceTop is a round number at or above the highest. */
function niceTop(highest: number): number {
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  for (const step of [1, 2, 5, 10]) if (highest <= step * power) return step * power;
  return 10 * power;
}

function text(v: number | null): string {
  if (v === null) return "–";
  if (v === 0) return "0";
  return v >= 100 ? Math.round(v).toLocaleString("en") : v >= 10 ? v.toFixed(1).replace(/\.0$/, "") : v.toFixed(2).replace(/\.?0+$/, "");
}
