// The monitor's twin: it has no picture, and takes the questions.
export default {
  initialize: ({ model }) => {
    const controls = (globalThis.nbflowControls ??= new Map());
    const { key } = model.get("data");
    controls.set(key, asker(model));
    return () => controls.delete(key);
  },
};
