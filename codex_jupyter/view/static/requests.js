// Questions to the person: approvals and forms. A card is inert until the kernel says it is open.

import { element, setText } from "./dom.js";
import { changeNodes } from "./items.js";
import { codeBlock } from "./markdown_view.js";
import { visible } from "./terminal.js";

const CHOICES = {
  accept: { command: "Run", tool: "Run", patch: "Apply" },
  acceptForSession: {
    command: "Run, and don't ask again for this exact command in this session",
    tool: "Run, and don't ask again for exactly this in this session",
    patch: "Apply, and don't ask again for these files in this session",
  },
  decline: { command: "Don't run", tool: "Don't run", patch: "Don't apply" },
  cancel: { command: "Stop the turn", tool: "Stop the turn", patch: "Stop the turn" },
};

/** A delegate is stopped alone: its parent's turn goes on. */
function labelOf(choice, { kind, delegate }) {
  return choice === "cancel" && delegate
    ? `Stop ${visible(delegate.name)}`
    : (CHOICES[choice][kind] ?? CHOICES[choice].command);
}

/**
 * A card for one request.
 * @param {Record<string, any>} request
 * @param {(content: Record<string, any>) => Promise<Record<string, any> | null>} ask
 */
export class RequestCard {
  constructor(request, ask) {
    this.request = request;
    this.ask = ask;
    this.isOpen = false;
    this.isSeen = false;
    this.isSent = false;
    this.note = element("div", { class: "cxj-card-note", role: "status" });
    const titleId = `cxj-title-${request.requestId}`;
    const title = element("div", { class: "cxj-card-title", id: titleId }, request.title || "A question for you");
    this.controls = element("div", { class: "cxj-buttons" });
    const asking = request.delegate ? element("div", { class: "cxj-asked-by", id: `${titleId}-by` }) : null;
    asking?.append("Asked by ", element("strong", null, delegateName(request.delegate)));
    this.node = element(
      "div",
      // keys typed here are for the card, not for the notebook's shortcuts
      {
        class: "cxj-card",
        role: "group",
        "aria-labelledby": asking ? `${titleId}-by ${titleId}` : titleId,
        "data-lm-suppress-shortcuts": "true",
      },
      asking,
      element("div", { class: "cxj-card-head" }, title, badge(request)),
    );
    this.fill();
    this.node.append(this.note);
    this.refresh();
  }

  /** Say whether the kernel waits for this answer; until then nothing can be pressed. */
  setOpen(isOpen) {
    this.isOpen = isOpen;
    if (isOpen) {
      this.say(""); // why it could not be pressed
    }
    this.refresh();
  }

  say(text) {
    setText(this.note, text);
  }

  dispose() {
    this.observer?.disconnect();
    this.node.remove();
  }

  fill() {
    const { request } = this;
    if (request.warning) {
      this.node.append(element("div", { class: "cxj-warning" }, request.warning));
    }
    if (request.reason) {
      this.node.append(element("div", { class: "cxj-reason" }, request.reason));
    }
    if (request.kind === "question") {
      this.fillForm();
    } else {
      this.fillApproval();
    }
  }

  fillApproval() {
    const { request } = this;
    const tail = element("span", { class: "cxj-tail" });
    const subject = element("div", {
      class: "cxj-subject",
      tabindex: "0",
      role: "region",
      "aria-label": "What will run",
    });
    subject.append(...subjectNodes(request), tail);
    this.node.append(subject);
    if (request.cwd) {
      this.node.append(element("div", { class: "cxj-where" }, "in ", element("code", null, request.cwd)));
    }
    const choices = request.choices ?? Object.keys(CHOICES);
    for (const choice of Object.keys(CHOICES).filter((name) => choices.includes(name))) {
      const label = labelOf(choice, request);
      const decide = (event) => this.submit(event.currentTarget, { action: "decide", decision: choice });
      const kind = `cxj-button cxj-choice-${choice}`;
      const needsReading = choice.startsWith("accept");
      this.controls.append(
        element("button", { class: kind, type: "button", onclick: decide, "data-reading": needsReading }, label),
      );
    }
    this.node.append(this.controls);
    this.watch(tail);
  }

  /** Nothing may be allowed unread: wait until the end of what will run was on the screen. */
  watch(tail) {
    if (typeof IntersectionObserver === "undefined") {
      this.isSeen = true;
      return;
    }
    this.observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        this.isSeen = true;
        this.observer.disconnect();
        this.refresh();
      }
    });
    this.observer.observe(tail);
  }

  fillForm() {
    const form = element("form", { class: "cxj-form", autocomplete: "off" });
    form.append(...(this.request.questions ?? []).map((question) => questionNode(this.request.requestId, question)));
    const send = element("button", { class: "cxj-button cxj-choice-accept", type: "submit" }, "Send");
    this.controls.append(send);
    if (this.request.mayDecline) {
      const decline = (event) => this.submit(event.currentTarget, { action: "decide", decision: "decline" });
      this.controls.append(
        element("button", { class: "cxj-button cxj-choice-decline", type: "button", onclick: decline }, "Decline"),
      );
    }
    form.append(this.controls);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(send, { action: "answer", answers: answersOf(this.request, form) });
    });
    this.isSeen = true;
    this.node.append(form);
  }

  async submit(button, content) {
    if (!this.isOpen || this.isSent) {
      return;
    }
    this.isSent = true;
    const label = button.textContent;
    button.classList.add("cxj-busy");
    button.textContent = "Sending…";
    this.refresh();
    const { requestId, digest } = this.request;
    const message = { ...content, requestId, ...(content.action === "decide" ? { digest: digest ?? null } : {}) };
    const reply = await this.ask(message);
    button.classList.remove("cxj-busy");
    button.textContent = label;
    if (reply === null || reply.status === "error") {
      this.isSent = false;
      this.say(reply?.message ?? "The kernel did not reply. You can try again.");
    } else if (reply.status === "gone") {
      this.isOpen = false;
      this.say("Answered elsewhere, or no longer open.");
    } else {
      this.say("Sent.");
    }
    this.refresh();
  }

  refresh() {
    const isReady = this.isOpen && !this.isSent;
    for (const control of this.node.querySelectorAll(".cxj-button, input")) {
      control.disabled = !isReady || (control.dataset.reading === "" && !this.isSeen);
    }
    if (isReady && !this.isSeen) {
      this.say(`Scroll to the end of ${this.request.kind === "patch" ? "the changes" : "what will run"} to allow it.`);
    } else if (isReady && this.note.textContent.startsWith("Scroll")) {
      this.say("");
    }
  }
}

/** `Ada (explorer)` */
function delegateName({ name, role }) {
  return visible(role ? `${name} (${role})` : name);
}

function badge(request) {
  return request.kind !== "question" && request.sandbox
    ? element("span", { class: "cxj-badge" }, request.sandbox)
    : null;
}

function subjectNodes(request) {
  if (request.kind === "patch" && request.changes?.length) {
    return changeNodes(request.changes).map((node) => {
      node.open = true; // what is to be allowed is never folded away
      return node;
    });
  }
  return [codeBlock({ language: request.kind === "tool" ? "python" : "", text: request.command ?? "" })];
}

function questionNode(requestId, question) {
  const name = `${requestId}-${question.id}`;
  const options = (question.options ?? []).map((option) =>
    element(
      "label",
      { class: "cxj-option" },
      element("input", { type: "radio", name, value: option.label, required: !question.isOptional }),
      element(
        "span",
        null,
        element("span", { class: "cxj-option-label" }, option.label),
        option.description ? element("span", { class: "cxj-option-about" }, option.description) : null,
      ),
    ),
  );
  const free = question.isOther || !options.length ? freeText(name, question, options.length > 0) : null;
  const legend = element(
    "legend",
    null,
    question.header ? element("span", { class: "cxj-label" }, question.header) : null,
    element("span", null, question.question ?? ""),
  );
  return element("fieldset", { class: "cxj-question" }, legend, ...options, free);
}

function freeText(name, question, isOther) {
  const choose = element("input", { type: "radio", name, value: "", "data-other": true });
  const text = element("input", {
    class: "cxj-text",
    type: question.isSecret ? "password" : "text",
    autocomplete: question.isSecret ? "new-password" : "off",
    "data-question": question.id,
    required: !isOther && !question.isOptional,
    "aria-label": isOther ? "Another answer" : question.question,
    placeholder: isOther ? "Another answer" : "",
    oninput: () => (choose.checked = true),
  });
  return element("label", { class: "cxj-option cxj-option-other" }, isOther ? choose : null, text);
}

function answersOf(request, form) {
  const answers = {};
  for (const question of request.questions ?? []) {
    const inputs = [...form.querySelectorAll("input")];
    const chosen = inputs.find(
      (input) => input.type === "radio" && input.name === `${request.requestId}-${question.id}` && input.checked,
    );
    const text = inputs.find((input) => input.dataset.question === question.id);
    const isFree = text && (!chosen || chosen.dataset.other !== undefined);
    answers[question.id] = { answers: [isFree ? text.value : (chosen?.value ?? "")] };
  }
  return answers;
}
