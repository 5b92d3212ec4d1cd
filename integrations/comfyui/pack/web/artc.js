// Shows the text that a node of artc gave, in the node itself, in a font of equal widths.
import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NODES = ["ArtSchedule", "ArtScheduleInfo", "ArtCompile"];
const WIDGET = "shown";
const LINE = 15;

// A page is shown as it stands; a sentence is not to be read as Markdown.
function asMarkdown(text) {
  if (text.includes("\n")) return "```\n" + text.replaceAll("```", "'''") + "\n```";
  return text.replace(/[\\`*_<>[\]#]/g, "\\$&");
}

function addWidget(node, text) {
  const widget = ComfyWidgets.MARKDOWN(node, WIDGET, ["MARKDOWN", {}], app).widget;
  // It is no input: neither the saved workflow nor the prompt holds it.
  widget.serialize = false;
  widget.options.serialize = false;
  widget.options.read_only = true;
  if (widget.element) widget.element.readOnly = true;
  const lines = text.split("\n");
  const longest = Math.max(...lines.map((line) => line.length));
  const width = lines.length > 1 ? Math.min(8 * longest, 900) : 0;
  const height = LINE * (lines.length > 1 ? lines.length + 4 : 6);
  const [least, tall] = node.computeSize();
  node.setSize([Math.max(node.size[0], least, width), Math.max(node.size[1], tall + height)]);
  return widget;
}

app.registerExtension({
  name: "artc.text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!NODES.includes(nodeData.name)) return;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (message) {
      onExecuted?.apply(this, arguments);
      if (!message?.text) return;
      const text = message.text.join("\n");
      const widget = this.widgets?.find((known) => known.name === WIDGET) ?? addWidget(this, text);
      widget.value = asMarkdown(text);
    };
  },
});
