import { shownItems } from '../src/turn/item_list.js';
import { OPEN_FILE, ReviewResult } from '../src/turn/review.js';

const FINDING = {
  title: '[P1] Keep the zeros',
  body: 'It guesses **numbers**.',
  confidence_score: 0.9,
  priority: null,
  code_location: {
    absolute_file_path: '/home/ada/load.py',
    line_range: { start: 3, end: 5 }
  }
};
const ITEM = {
  type: 'exitedReviewMode',
  id: 'r',
  review: 'All of it.\n\n- Keep the zeros',
  output: {
    findings: [FINDING, { title: 'Other', body: '', priority: 0, code_location: null }],
    overall_correctness: 'patch is incorrect',
    overall_explanation: 'All of it.',
    overall_confidence_score: 0.8
  }
};

function draw(item: object): HTMLElement {
  const view = new ReviewResult();
  document.body.replaceChildren(view.node);
  view.update(item);
  return view.node;
}

test('the verdict is on top, then a card for each finding', () => {
  const node = draw(ITEM);
  expect(node.querySelector('.cxj-review-head')!.textContent).toBe('Patch is incorrect80 % sure');
  const [first, second] = node.querySelectorAll('.cxj-finding');
  expect(first!.className).toContain('cxj-finding-P1');
  expect(first!.querySelector('.cxj-finding-head')!.textContent).toBe('P1Keep the zeros90 % sure');
  expect(first!.querySelector('.cxj-md strong')!.textContent).toBe('numbers');
  expect(second!.textContent).toBe('P0Other');
});

test('a place in a file asks the page to open it, once, and goes nowhere itself', () => {
  const link = draw(ITEM).querySelector<HTMLAnchorElement>('a.cxj-file')!;
  expect(link.textContent).toBe('/home/ada/load.py:3-5');
  expect({ ...link.dataset }).toMatchObject({ path: '/home/ada/load.py', line: '3' });
  const heard: unknown[] = [];
  const hear = (event: Event) => heard.push((event as CustomEvent).detail);
  document.addEventListener(OPEN_FILE, hear);
  const click = new MouseEvent('click', { bubbles: true, cancelable: true });
  link.dispatchEvent(click);
  document.removeEventListener(OPEN_FILE, hear);
  expect(heard).toEqual([{ path: '/home/ada/load.py', line: 3 }]);
  expect(click.defaultPrevented).toBe(true);
});

test.each([
  null,
  undefined,
  [],
  'text',
  { findings: 'none' },
  { findings: [null, 3, { title: 7, priority: 9, code_location: 'x', confidence_score: NaN }] },
  { overall_correctness: 1, overall_explanation: {}, overall_confidence_score: 7 }
])('a result of another shape is drawn as far as it goes: %j', output => {
  expect(draw({ ...ITEM, output }).textContent).toMatch(/^Review/);
});

test('the message that repeats a structured result is not drawn', () => {
  const said = { type: 'agentMessage', id: 'm', text: ITEM.review };
  const other = { type: 'agentMessage', id: 'n', text: 'Something else.' };
  const ids = (items: object[]) => shownItems(items).map((item: { id: string }) => item.id);
  expect(ids([ITEM, said, other])).toEqual(['r', 'n']);
  expect(ids([{ ...ITEM, output: null }, said])).toEqual(['r', 'm']);
  expect(ids([said, ITEM])).toEqual(['m', 'r']);
});
