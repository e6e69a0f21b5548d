import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

interface Props<T> {
  label: string;
  rows: T[];
  keyOf: (row: T) => string | number;
  /** The columns' names; on a narrow screen they are for screen readers only. */
  columns: string[];
  cells: (row: T) => ComponentChildren[];
  rowHeight: number;
  onOpen: (row: T) => void;
  onEnd: () => void;
  onSpace: () => void;
  foot: ComponentChildren;
}

const overscan = 8;

/**
 * VirtualList is a grid of which only the rows that are seen are in the page. What is looked at stays where it is when rows come in above it, unless the list is at
 * its top. The arrow keys move the mark, which a screen reader follows.
 */
export function VirtualList<T>({ label, rows, keyOf, columns, cells, rowHeight, onOpen, onEnd, onSpace, foot }: Props<T>) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [marked, setMarked] = useState<string | number>();
  const anchor = useRef<{ key: string | number; offset: number } | undefined>(undefined);

  useEffect(() => {
    const watch = new ResizeObserver(() => setView((v) => ({ ...v, height: frame.current?.clientHeight ?? v.height })));
    watch.observe(frame.current!);
    return () => watch.disconnect();
  }, []);
  // The row at the upper edge stays there.
  useLayoutEffect(() => {
    const list = frame.current!;
    const held = anchor.current;
    if (!held || list.scrollTop < rowHeight) return;
    const i = rows.findIndex((row) => keyOf(row) === held.key);
    if (i >= 0 && Math.abs(i * rowHeight + held.offset - list.scrollTop) >= 1) list.scrollTop = i * rowHeight + held.offset;
  }, [rows]);

  const scrolled = () => {
    const list = frame.current!;
    const first = Math.floor(list.scrollTop / rowHeight);
    const row = rows[first];
    anchor.current = row === undefined ? undefined : { key: keyOf(row), offset: list.scrollTop - first * rowHeight };
    setView({ top: list.scrollTop, height: list.clientHeight });
    if (list.scrollTop + list.clientHeight > list.scrollHeight - 10 * rowHeight) onEnd();
  };
  const markedAt = marked === undefined ? -1 : rows.findIndex((row) => keyOf(row) === marked);
  const move = (to: number) => {
    const i = Math.min(rows.length - 1, Math.max(0, to));
    const row = rows[i];
    if (row === undefined) return;
    setMarked(keyOf(row));
    const list = frame.current!;
    if (i * rowHeight < list.scrollTop) list.scrollTop = i * rowHeight;
    const visible = list.clientHeight - headHeight(list);
    if ((i + 1) * rowHeight > list.scrollTop + visible) list.scrollTop = (i + 1) * rowHeight - visible;
  };
  const key = (e: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1);
    const to: Record<string, number> = { ArrowDown: markedAt + 1, ArrowUp: markedAt - 1, PageDown: markedAt + page, PageUp: markedAt - page, Home: 0, End: rows.length - 1 };
    if (e.key in to) move(to[e.key]!);
    else if (e.key === "Enter" && rows[markedAt] !== undefined) onOpen(rows[markedAt]!);
    else if (e.key === " ") onSpace();
    else return;
    e.preventDefault();
  };

  const from = Math.max(0, Math.floor(view.top / rowHeight) - overscan);
  const to = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + overscan);
  const id = (row: T) => `row-${keyOf(row)}`;
  const shownMark = markedAt >= from && markedAt < to ? rows[markedAt] : undefined;
  return (
    <div class="virtual-box">
      <div ref={frame} class="virtual" role="grid" aria-label={label} aria-rowcount={rows.length + 1} aria-colcount={columns.length} tabIndex={0}
        aria-activedescendant={shownMark === undefined ? undefined : id(shownMark)} onScroll={scrolled} onKeyDown={key}
        onFocus={() => { if (markedAt < 0 && rows[from] !== undefined) setMarked(keyOf(rows[Math.floor(view.top / rowHeight)] ?? rows[from]!)); }}>
        <div class="virtual-head" role="row" aria-rowindex={1}>
          {columns.map((c) => <span role="columnheader" key={c}>{c}</span>)}
        </div>
        <div class="virtual-space" role="rowgroup" style={{ height: `${rows.length * rowHeight}px` }}>
          {rows.slice(from, to).map((row, i) => (
            <div key={keyOf(row)} id={id(row)} class={`virtual-row${keyOf(row) === marked ? " marked" : ""}`} role="row" aria-rowindex={from + i + 2} aria-selected={keyOf(row) === marked}
              style={{ transform: `translateY(${(from + i) * rowHeight}px)`, height: `${rowHeight}px` }} onClick={() => { setMarked(keyOf(row)); onOpen(row); }}>
              {cells(row).map((cell, c) => <span role="gridcell" key={c} class={`cell-${c}`}>{cell}</span>)}
            </div>
          ))}
        </div>
      </div>
      <div class="virtual-foot">{foot}</div>
    </div>
  );
}

function headHeight(list: HTMLElement): number {
  return list.firstElementChild?.getBoundingClientRect().height ?? 0;
}
