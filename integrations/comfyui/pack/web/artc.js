// Shows the text that a node of artc gave, in the node itself.
import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NODES = ["ArtSchedule", "ArtScheduleInfo", "ArtCompile"];
const WIDGET = "shown";

app.registerExtension({
  name: "artc.text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!NODES.includes(nodeData.name)) return;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (message) {
      onExecuted?.apply(this, arguments);
      if (!message?.text) return;
      let widget = this.widgets?.find((known) => known.name === WIDGET);
      if (!widget) {
        widget = ComfyWidgets.STRING(this, WIDGET, ["STRING", { multiline: true }], app).widget;
        // It is no input: neither the saved workflow nor the prompt holds it.
        widget.serialize = false;
        widget.options.serialize = false;
        const area = widget.inputEl ?? widget.element;
        if (area) {
          area.readOnly = true;
          area.style.fontFamily = "monospace";
        }
      }
      widget.value = message.text.join("\n");
    };
  },
});
