module.exports = {
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/*/test/*.spec.ts'],
  modulePathIgnorePatterns: ['<rootDir>/../codex_jupyter/labextensions'],
  transformIgnorePatterns: [
    '/node_modules/(?!(@jupyter|@jupyterlab|@jupyter-widgets|lib0|y-protocols|yjs|nanoid|exenv-es6)/)'
  ],
  setupFiles: ['<rootDir>/test-browser.js'],
  transform: {
    '\\.[jt]sx?$': ['ts-jest', { tsconfig: '<rootDir>/tsconfig.test.json', diagnostics: false }]
  },
  moduleNameMapper: {
    '^@codex-jupyter/view$': '<rootDir>/view/src/tokens.ts',
    '^@jupyter/(react|web)-components$': '<rootDir>/test-components.js',
    '\\.css$': '<rootDir>/test-empty.js',
    '\\.svg$': '<rootDir>/test-svg.js'
  }
};
