export const what = 'a module';
