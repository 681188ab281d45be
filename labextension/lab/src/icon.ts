import { LabIcon } from '@jupyterlab/ui-components';

const SHAPE = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M4 3h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2h-6l-5 4v-4H4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm0 2v10h7v2l2.5-2H20V5z"/>
    <path d="M8.2 7.2 11 10l-2.8 2.8-1.2-1.2L8.600 10 7 8.400zM12 11.600h5v1.600h-5z"/>
  </g>
</svg>`;

export const codexIcon = new LabIcon({ name: 'codex-jupyter:turn', svgstr: SHAPE });
