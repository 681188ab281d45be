import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['node_modules', '*/lib', 'view/src/turn', 'view/src/protocol.ts', '**/*.mjs'] },
  ...tseslint.configs.recommended,
  {
    rules: {
      // params of the wire are read as they come
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      curly: 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-var': 'error',
      'prefer-const': 'error'
    }
  }
);
