// The page's words in German and Chinese, by the English ones; {} stands for what differs. Sentences of the server stay English.
const WORDS = {
  "Open a file …": ["Datei öffnen …", "打开文件…"], "Undo": ["Zurück", "撤销"], "Redo": ["Wieder", "重做"], "Save labels": ["Labels speichern", "保存标注"],
  "Save script": ["Skript speichern", "保存脚本"], "Choose a volume above, or drop a file here.": ["Oben ein Volumen wählen, oder eine Datei hierher ziehen.", "请在上方选择体数据，或将文件拖到此处。"],
  "Objects": ["Objekte", "对象"], "New object": ["Neues Objekt", "新对象"], "Clear slice": ["Schicht leeren", "清空此层"], "Remove object": ["Objekt entfernen", "删除对象"],
  "Tool": ["Werkzeug", "工具"], "Box": ["Kasten", "方框"], "Scribble": ["Strich", "涂画"],
  "Follow through the stack": ["Durch den Stapel verfolgen", "在各层中追踪"], "Follow all": ["Alle verfolgen", "追踪全部"], "Stop": ["Halt", "停止"],
  "Window": ["Fensterung", "窗宽窗位"], "Darkest": ["Dunkelster Wert", "最暗值"], "Brightest": ["Hellster Wert", "最亮值"], "Automatic": ["Automatisch", "自动"],
  "Full range": ["Ganzer Bereich", "全部范围"], "Masks": ["Masken", "掩膜"], "Keys": ["Tasten", "快捷键"],
  "click": ["Klick", "单击"], "on the object": ["auf das Objekt", "在对象上"], "or right": ["oder rechts", "或右键"], "not the object": ["nicht das Objekt", "不是对象"],
  "drag": ["Ziehen", "拖动"], "a box around it, or a scribble": ["ein Kasten darum, oder ein Strich", "画方框或涂画"], "wheel": ["Rad", "滚轮"], "slices": ["Schichten", "切换层"],
  "zoom": ["Zoom", "缩放"], "objects": ["Objekte", "对象"], "follow, stop": ["verfolgen, halten", "追踪、停止"], "box or scribble": ["Kasten oder Strich", "方框或涂画"],
  "Volume": ["Volumen", "体数据"], "Format of the labels": ["Format der Labels", "标注格式"], "Language": ["Sprache", "语言"],
  "A script that does the same again": ["Ein Skript, das dasselbe wiederholt", "可重复相同操作的脚本"], "Takes back the clicks of the object on this slice": ["Nimmt die Klicks des Objekts auf dieser Schicht zurück", "撤回该对象在此层的点击"],
  "Slice: click marks the object, Shift-click takes away, a drag draws a box or a scribble, arrow keys change the slice": ["Schicht: Klick markiert das Objekt, Umschalt-Klick nimmt weg, Ziehen zeichnet einen Kasten oder Strich, Pfeiltasten wechseln die Schicht", "层：单击标记对象，Shift+单击排除，拖动画方框或涂画，方向键切换层"],
  "Stack: which slices have masks, prompts, or lost the object": ["Stapel: welche Schichten Masken oder Markierungen haben, und wo das Objekt verloren ging", "全部层：哪些层有掩膜、提示，或丢失了对象"],
  "the server does not answer; is it still running?": ["der Server antwortet nicht; läuft er noch?", "服务器没有响应；它还在运行吗？"], "the server answered {}": ["der Server antwortete {}", "服务器返回 {}"],
  "opening …": ["öffnet …", "正在打开…"], "sending {} …": ["sendet {} …", "正在发送 {}…"], "{} is larger than this server takes": ["{} ist größer, als dieser Server annimmt", "{} 超出此服务器的大小限制"],
  "{}: {} × {} pixels, {} slices": ["{}: {} × {} Pixel, {} Schichten", "{}：{} × {} 像素，{} 层"], "slice {} of 0 – {}": ["Schicht {} von 0 – {}", "第 {} 层（0 – {}）"],
  "computing …": ["rechnet …", "正在计算…"], "following …": ["verfolgt …", "正在追踪…"], "following: {} of {} slices": ["verfolgt: {} von {} Schichten", "追踪：{} / {} 层"],
  "the server ended the work early": ["der Server hat die Arbeit vorzeitig beendet", "服务器提前结束了任务"], "stopped; what is done stays": ["angehalten; was fertig ist, bleibt", "已停止；已完成的部分保留"],
  "done": ["fertig", "完成"], "done; parts of the stack without a mask: {}": ["fertig; Teile des Stapels ohne Maske: {}", "完成；没有掩膜的区段：{}"],
  "object {}: click on it": ["Objekt {}: darauf klicken", "对象 {}：请单击它"], "saving …": ["speichert …", "正在保存…"], "saved {}": ["gespeichert: {}", "已保存 {}"],
  "undo …": ["zurück …", "正在撤销…"], "redo …": ["wieder …", "正在重做…"], "clear …": ["leert …", "正在清空…"], "remove …": ["entfernt …", "正在删除…"],
  "Object {}": ["Objekt {}", "对象 {}"], " {} slices": [" {} Schichten", " {} 层"], " 1 slice": [" 1 Schicht", " 1 层"], " no mask yet": [" noch keine Maske", " 尚无掩膜"],
  "show": ["zeigen", "显示"], "hide": ["verbergen", "隐藏"], "show object {}": ["Objekt {} zeigen", "显示对象 {}"], "hide object {}": ["Objekt {} verbergen", "隐藏对象 {}"],
  "model {}, version {}": ["Modell {}, Version {}", "模型 {}，版本 {}"], "a drag draws a box": ["Ziehen zeichnet einen Kasten", "拖动画方框"], "a drag draws a scribble": ["Ziehen zeichnet einen Strich", "拖动涂画"],
};
const LANGUAGES = ["en", "de", "zh"];
/** The language that was chosen, or the browser's. */
let language = (() => {
  let kept = null;
  try { kept = localStorage.getItem("language"); } catch { /* not allowed here */ }
  return LANGUAGES.find(known => known === kept) ?? LANGUAGES.find(known => navigator.language.toLowerCase().startsWith(known)) ?? "en";
})();
function t(text, ...values) {
  const words = language === "en" ? text : WORDS[text]?.[LANGUAGES.indexOf(language) - 1] ?? text;
  return values.reduce((whole, value) => whole.replace("{}", () => value), words);
}
/** What stands in the page from the start; its English is kept to be translated again. */
function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const english = (node.english ??= node.data), bare = english.trim();
    if (bare in WORDS && !node.parentElement.closest("script, #objects, #notices, footer")) node.data = english.replace(bare, () => t(bare));
  }
  for (const element of document.querySelectorAll("[title], [aria-label]")) for (const name of ["title", "aria-label"]) {
    const english = (element.dataset[`english${name.length}`] ??= element.getAttribute(name) ?? "");
    if (english in WORDS) element.setAttribute(name, t(english));
  }
}
