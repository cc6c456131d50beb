// Nodes without templates: what people wrote can only become text.

export type Child = Node | string | false | null | undefined;
type Props = Readonly<
  Record<string, string | number | boolean | undefined | ((event: any) => unknown)>
>;

/** An element; functions among the props become listeners, `false` and `undefined` nothing. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

export function button(label: string, click: () => unknown, look = "quiet"): HTMLButtonElement {
  return h("button", { type: "button", class: look, click }, label);
}

export function present(children: readonly Child[]): (Node | string)[] {
  return children.filter((child): child is Node | string => child !== false && child != null);
}

/** Set the text if it is another one: a live region is silent otherwise. */
export function put(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

let ids = 0;
/** An id that nothing else on the page has. */
export const newId = (): string => `headgate-${++ids}`;
