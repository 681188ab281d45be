// A question outside of its turn, e.g. in a panel: the very card that the turn shows.

import type { Answer, ICodexLine, PendingRequest } from './tokens';
import { RequestCard } from './turn/requests.js';

interface Content extends Answer {
  requestId: string;
}

export function requestCard(
  line: ICodexLine,
  request: PendingRequest
): ReturnType<ICodexLine['card']> {
  const send = async (content: Content) => {
    const { requestId, decision, digest, answers } = content;
    try {
      const answer = answers ? { answers } : { decision, digest };
      return { status: await line.answer(requestId, answer) };
    } catch (error) {
      return { status: 'error', message: error instanceof Error ? error.message : String(error) };
    }
  };
  const card = new RequestCard(request, send);
  const frame = document.createElement('div');
  frame.className = 'cxj-turn cxj-live'; // the look of a card is that of its turn
  frame.append(card.node);
  card.setOpen(line.state === 'open');
  const follow = () => {
    if (line.state !== 'open') {
      card.setOpen(false);
    }
  };
  line.stateChanged.connect(follow);
  let isDisposed = false;
  return {
    node: frame,
    get isDisposed() {
      return isDisposed;
    },
    dispose: () => {
      if (!isDisposed) {
        isDisposed = true;
        line.stateChanged.disconnect(follow);
        card.dispose();
        frame.remove();
      }
    }
  };
}
