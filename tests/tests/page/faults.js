// What WCAG AA asks for and can be computed: contrast of text, names of fields, numbers of elements used once, headings in
// their order. A list of what fails; empty is the good case.
(() => {
  const found = [];
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.a === 1) return color;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, style, [disabled]")) continue;
    const ratio = contrast(parse(getComputedStyle(element).color), behind(element));
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} contrast: ${element.className} ${walker.currentNode.data.slice(0, 40)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  found.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `two elements are ${id}`));
  const levels = [...document.querySelectorAll("h1, h2, h3")].filter((one) => one.checkVisibility()).map(({ tagName }) => Number(tagName[1]));
  levels.forEach((level, at) => {
    if (at > 0 && level > levels[at - 1] + 1) found.push(`a heading of level ${level} after one of ${levels[at - 1]}`);
  });
  for (const field of document.querySelectorAll("input, select, textarea")) {
    if (!field.ariaLabel && field.labels.length === 0) found.push("a field without a name");
  }
  for (const table of document.querySelectorAll("table")) if (!table.ariaLabel) found.push("a table without a name");
  return found;
})()
