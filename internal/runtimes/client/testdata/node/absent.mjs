import 'not-there';
