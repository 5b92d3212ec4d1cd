// Shows the text that a node of artc gave, in the node itself.
import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NODES = ["ArtSchedule", "ArtScheduleInfo", "ArtCompile", "ArtModelSigmas"];
const TABLE = "ArtScheduleInfo";
const WIDGET = "shown";
const LINE = 12, LETTER = 5, TYPED = 6.5, WIDEST = 900, TALLEST = 600; // pixels; TYPED is a letter of a table

// A table is shown as it stands, in letters of equal widths; else each line is a paragraph, and no Markdown.
function asMarkdown(text, isTable) {
  if (isTable) return "```\n" + text.replaceAll("```", "'''") + "\n```";
  const plain = text.replace(/[!-/:-@[-`{-~]/g, "\\$&");
  return plain.split("\n").join("\n\n");
}

// The width that a table needs and the height that the text will have: a paragraph is wrapped at the node's own width.
function sizeOf(lines, isTable, width) {
  if (isTable) return [TYPED * Math.max(...lines.map((line) => line.length)) + 60, LINE * (lines.length + 4)];
  const rows = lines.map((line) => Math.ceil((line.length * LETTER) / (width - 30)) + 1);
  return [0, LINE * (rows.reduce((sum, count) => sum + count) + 1)];
}

function addWidget(node, text, isTable) {
  const widget = ComfyWidgets.MARKDOWN(node, WIDGET, ["MARKDOWN", {}], app).widget;
  // It is no input: neither the saved workflow nor the prompt holds it.
  widget.serialize = false;
  widget.options.serialize = false;
  widget.options.read_only = true;
  if (widget.element) widget.element.readOnly = true;
  const [least, tall] = node.computeSize();
  const [width, height] = sizeOf(text.split("\n"), isTable, Math.max(node.size[0], least));
  node.setSize([
    Math.max(node.size[0], least, Math.min(width, WIDEST)),
    Math.max(node.size[1], tall + Math.min(height, TALLEST)),
  ]);
  return widget;
}

app.registerExtension({
  name: "artc.text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!NODES.includes(nodeData.name)) return;
    const isTable = nodeData.name === TABLE;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (message) {
      onExecuted?.apply(this, arguments);
      if (!message?.text) return;
      const text = message.text.join("\n");
      const widget = this.widgets?.find((known) => known.name === WIDGET) ?? addWidget(this, text, isTable);
      widget.value = asMarkdown(text, isTable);
    };
  },
});
