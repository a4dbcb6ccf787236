/** Why something a CR refers to is not used. The reasons are those of ResolvedRefs. */
export interface Problem {
  readonly reason: 'SecretNotFound' | 'SecretKeyNotFound' | 'ServiceNotFound' | 'PortNotFound' | 'UnsupportedService';
  /** Names the object; whoever lists problems puts the backend or the field before it. */
  readonly message: string;
}
