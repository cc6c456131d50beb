// What outlives the page.

/** Something that the browser keeps; where it may not, kept until the page is left. */
export function kept(area, key) {
  let memory = null;
  return {
    get() {
      try { return JSON.parse(window[area].getItem(key)) ?? memory; } catch { return memory; }
    },
    set(value) {
      memory = value;
      try { window[area].setItem(key, JSON.stringify(value)); } catch { /* full or forbidden */ }
    },
  };
}
